#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""What a GPU can do at most, through PyTorch: one JSON line.

copy_gb_s     a copy on the device, bytes read plus bytes written
<type>_tflops a product of two square matrices of random numbers, in bf16, tf32 and fp32

usage: ceilings.py [--side 8192] [--bytes 2147483648] [--rehearse]
"""
import argparse
import json
import statistics
import time


def timed(torch, work, rounds: int = 10) -> float:
    """-> median seconds of a call"""
    on_gpu = torch.cuda.is_available()
    work()
    seconds = []
    for _ in range(rounds):
        if on_gpu:
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            work()
            end.record()
            torch.cuda.synchronize()
            seconds.append(begin.elapsed_time(end) / 1e3)
        else:
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--bytes", type=int, default=1 << 31)
    parser.add_argument("--rehearse", action="store_true", help="small, on the CPU")
    a = parser.parse_args()
    import torch
    on = "cpu" if a.rehearse else "cuda"
    side, count = (64, 1 << 10) if a.rehearse else (a.side, a.bytes // 4)
    source = torch.randn(count, device=on)
    target = torch.empty_like(source)
    found = {"copy_gb_s": 8e-9 * count / timed(torch, lambda: target.copy_(source))}
    for name, kind, tf32 in (("bf16", torch.bfloat16, False), ("tf32", torch.float32, True),
                             ("fp32", torch.float32, False)):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        x, y = (torch.randn(side, side, device=on).to(kind) for _ in range(2))
        found[f"{name}_tflops"] = 2e-12 * side**3 / timed(torch, lambda: x @ y)
    print(json.dumps({k: round(v, 4) for k, v in found.items()}))


if __name__ == "__main__":
    main()

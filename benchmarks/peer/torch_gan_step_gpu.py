#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""The training step of benchmarks/cuda/gan_step.cu in PyTorch on a GPU: one JSON line per set-up.

usage: torch_gan_step_gpu.py --model dcgan32 [--batch 64] [--seconds 2] [--set-ups eager,amp,...]

eager    fp32 as published
tf32     the same, products in tf32
amp      bf16 autocast, channels_last, fused Adam, cudnn.benchmark
compiled amp with torch.compile
graph    amp, the whole step in one CUDA graph
graph32  tf32, channels_last, the whole step in one CUDA graph

The step is that of torch_gan_step.py: D on a real and a generated batch, Adam for D, G through D,
Adam for G. Real batches take turns among three that lie on the GPU. Times are those of CUDA events
around rounds of several steps. wgan_gp32 and sngan32 take their objectives' steps (a penalty by
create_graph, which torch.compile refuses: there `compiled` is an error line).

--rehearse runs on the CPU with a few narrow samples, to see that every set-up's code is sound; what
only a GPU has (CUDA graphs, events) is left out and said so.
"""
import argparse
import json
import time
from contextlib import nullcontext

from torch_gan_step import networks, residual_networks

SET_UPS = ("eager", "tf32", "amp", "compiled", "graph", "graph32")
MODERN = ("wgan_gp32", "sngan32")


def losses(torch, a, on):
    """-> of the discriminator from its two outputs, of the generator from one"""
    relu = torch.nn.functional.relu
    if a.model == "sngan32":
        return {"discriminator": lambda r, f: relu(1 - r).mean() + relu(1 + f).mean(),
                "generator": lambda f: -f.mean()}
    if a.model == "wgan_gp32":
        return {"discriminator": lambda r, f: f.mean() - r.mean(),
                "generator": lambda f: -f.mean()}
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    ones, zeros = (f(a.batch, 1, device=on) for f in (torch.ones, torch.zeros))
    return {"discriminator": lambda r, f: entropy(r, ones) + entropy(f, zeros),
            "generator": lambda f: entropy(f, ones)}


def penalty(torch, d, real, fake, cast):
    """10 (|gradient| - 1)^2 between real and generated images."""
    u = torch.rand(real.shape[0], 1, 1, 1, device=real.device)
    x = (u * real + (1 - u) * fake.float()).requires_grad_(True)
    with cast():
        judged = d(x)
    (gradient,) = torch.autograd.grad(judged.float().sum(), x, create_graph=True)
    return (10 * (gradient.flatten(1).norm(2, 1) - 1).square()).mean()


def build(torch, a, set_up):
    """-> a function that takes one step"""
    nn = torch.nn
    half = set_up in ("amp", "compiled", "graph")
    torch.backends.cudnn.benchmark = set_up != "eager"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = set_up != "eager"
    torch.manual_seed(1)
    on = "cpu" if a.rehearse else "cuda"
    modern = a.model in MODERN
    g, d, extents = residual_networks(torch, a.model) if modern else networks(nn, a.model)
    for module in [*g.modules(), *d.modules()]:
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            weight = getattr(module, "weight_orig", module.weight)
            nn.init.normal_(weight, 0.0, 0.02)
    g, d = g.to(on), d.to(on)
    images = len(extents) == 3 and set_up not in ("eager", "tf32")
    if images:
        g, d = (m.to(memory_format=torch.channels_last) for m in (g, d))
    batches = [torch.tanh(torch.randn(a.batch, *extents, device=on)) for _ in range(3)]
    real = batches[0].clone()
    if images:
        real = real.contiguous(memory_format=torch.channels_last)
    captured = set_up.startswith("graph") and not a.rehearse
    more = {} if a.rehearse else {"fused": set_up not in ("eager", "tf32"), "capturable": captured}
    of_g, of_d = (torch.optim.Adam(m.parameters(), lr=2e-4, betas=(0.5, 0.999), **more)
                  for m in (g, d))
    cast = (lambda: torch.autocast(on, torch.bfloat16)) if half else nullcontext
    if set_up == "compiled":
        g, d = torch.compile(g), torch.compile(d)
    loss = losses(torch, a, on)

    def learn():
        of_d.zero_grad(set_to_none=True)
        with cast():
            fake = g(torch.randn(a.batch, 128 if modern else 100, device=on))
            on_real, on_fake = d(real), d(fake.detach())
        loss["discriminator"](on_real.float(), on_fake.float()).backward()
        if a.model == "wgan_gp32":
            penalty(torch, d, real, fake.detach(), cast).backward()
        of_d.step()
        of_g.zero_grad(set_to_none=True)
        d.requires_grad_(False)
        with cast():
            judged = d(fake)
        loss["generator"](judged.float()).backward()
        of_g.step()
        d.requires_grad_(True)

    count = [0]

    def next_batch():
        real.copy_(batches[count[0] % 3])
        count[0] += 1

    if not captured:
        return lambda: (next_batch(), learn())
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            learn()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        learn()
    return lambda: (next_batch(), graph.replay())


def rehearse(step):
    """-> milliseconds of two steps on the CPU"""
    begin = time.perf_counter()
    step()
    step()
    return [5e2 * (time.perf_counter() - begin)]


def measure(torch, step, seconds):
    """-> milliseconds of a step in rounds of at least 50 ms"""
    start = time.perf_counter()
    steps = 0
    while steps < 20 or time.perf_counter() - start < 0.5:
        step()
        steps += 1
        torch.cuda.synchronize()
    per_round = max(1, int(0.05 * steps / (time.perf_counter() - start)))
    rounds, start = [], time.perf_counter()
    while len(rounds) < 15 or time.perf_counter() - start < seconds:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(per_round):
            step()
        end.record()
        torch.cuda.synchronize()
        rounds.append(begin.elapsed_time(end) / per_round)
    return rounds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="dcgan32",
                        choices=("mlp28", "dcgan28", "dcgan32", "dcgan64", *MODERN))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--set-ups", default=",".join(SET_UPS))
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, without times")
    a = parser.parse_args()
    import torch
    for set_up in a.set_ups.split(","):
        line = {"impl": "pytorch", "version": torch.__version__, "set_up": set_up,
                "model": a.model, "batch": a.batch}
        try:
            step = build(torch, a, set_up)
            rounds = rehearse(step) if a.rehearse else measure(torch, step, a.seconds)
            line["rounds_ms"] = [round(ms, 5) for ms in rounds]
            line["peak_bytes"] = 0 if a.rehearse else torch.cuda.max_memory_allocated()
        except Exception as e:  # a set-up that this PyTorch cannot run is a result, too
            line["error"] = f"{type(e).__name__}: {e}"[:300]
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()

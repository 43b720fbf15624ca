#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Runs the same training step in Gantry and in its peers by turns, and prints ratios.

usage: compare.py build/release/bin/gantry-bench [--models mlp28,dcgan32] [--threads 1,2]

Programs take turns (A B C, C B A, ...), each run a process of its own. A run during which other
processes used more than --foreign of a core is repeated, at most three times, and the quietest
counts. A ratio is the median over rounds of peer / ours, with its smallest and largest value. A
peer that is not installed is a row that says so.
"""
import argparse
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
TICKS = os.sysconf("SC_CLK_TCK")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench", help="the program gantry-bench")
    parser.add_argument("--models", default="mlp28,dcgan28,dcgan32,dcgan64")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--foreign", type=float, default=0.2)
    parser.add_argument("--python", action="append", default=None,
                        help="a Python with PyTorch; may be given several times")
    parser.add_argument("--set-ups", default="best,installed", help="of PyTorch")
    parser.add_argument("--critic-only", action="store_true", help="the discriminator's step alone")
    parser.add_argument("--eigen", action="store_true", help="our Eigen path as a peer")
    parser.add_argument("--out", help="file for the JSON lines of all runs")
    return parser.parse_args()


def busy_cores():
    """-> seconds that all processes have computed so far."""
    fields = [int(x) for x in open("/proc/stat").readline().split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:8])) / TICKS


def run(command):
    """-> (JSON line of the program, share of a core that others used meanwhile)"""
    before, own, start = busy_cores(), resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
    result = subprocess.run(command, capture_output=True, text=True)
    seconds, mine = time.time() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if result.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {result.returncode}: {result.stderr[-300:]}")
    used = mine.ru_utime + mine.ru_stime - own.ru_utime - own.ru_stime
    line = json.loads([x for x in result.stdout.splitlines() if x.startswith("{")][-1])
    return line, (busy_cores() - before - used) / seconds


def quiet_run(command, limit):
    best = None
    for _ in range(3):
        found = run(command)
        if best is None or found[1] < best[1]:
            best = found
        if best[1] <= limit:
            break
        time.sleep(2)
    return best


def build_dlib(folder):
    """-> the program, or None where it cannot be built"""
    program = str(pathlib.Path(folder) / "dlib_gan_step")
    compiler = shutil.which("g++")
    if compiler is None:
        return None
    built = subprocess.run([compiler, "-std=c++17", "-O3", "-march=native", "-w",
                            str(HERE / "dlib_gan_step.cpp"), "-o", program, "-ldlib", "-lblas",
                            "-llapack", "-pthread"], capture_output=True, text=True)
    return program if built.returncode == 0 else None


def has_torch(python):
    found = subprocess.run([python, "-c", "import torch"], capture_output=True)
    return found.returncode == 0


def programs(a, model, threads, dlib):
    """-> {name: command or the reason why there is none}, ours first"""
    common = ["--model", model, "--batch", str(a.batch), "--threads", str(threads), "--seconds",
              str(a.seconds)] + (["--critic-only"] if a.critic_only else [])
    all_ = {"gantry": [a.bench, "step", *common]}
    if a.eigen:
        all_["gantry, Eigen's products"] = [a.bench, "step", *common, "--kernels", "eigen"]
    for python in a.python or ["/usr/bin/python3"]:
        torch = [python, str(HERE / "torch_gan_step.py"), *common]
        installed = has_torch(python)
        for name in a.set_ups.split(","):
            flags = ["--installed"] if name == "installed" else []
            all_[f"pytorch, {name} ({python})"] = \
                torch + flags if installed else "PyTorch is not installed"
    if model in ("dcgan28", "dcgan32"):
        all_["dlib"] = ["env", f"OPENBLAS_NUM_THREADS={threads}", dlib, model, str(a.batch),
                        str(a.seconds)] if dlib else \
            "not built: it needs g++, libdlib-dev and libopenblas-dev"
    return all_


def compare(a, model, threads, dlib, out):
    commands = programs(a, model, threads, dlib)
    runnable = [name for name, c in commands.items() if not isinstance(c, str)]
    runs = {name: [] for name in runnable}
    for round_ in range(a.rounds):
        for name in runnable if round_ % 2 == 0 else reversed(runnable):
            line, foreign = quiet_run(commands[name], a.foreign)
            line.update(name=name, round=round_, foreign=round(foreign, 3), threads=threads)
            runs[name].append(line)
            if out:
                out.write(json.dumps(line) + "\n")
                out.flush()
    ours = [x["step_ms"] for x in runs["gantry"]]
    for name, command in commands.items():
        if isinstance(command, str):
            print(f"| {model} | {threads} | {name} | {command} | | |")
            continue
        times = [x["step_ms"] for x in runs[name]]
        ratios = [t / o for t, o in zip(times, ours)]
        version = runs[name][0].get("version", "")
        print(f"| {model} | {threads} | {name} {version} | {statistics.median(times):.2f} "
              f"[{min(times):.2f}..{max(times):.2f}] | {statistics.median(ratios):.2f} "
              f"[{min(ratios):.2f}..{max(ratios):.2f}] | "
              f"{max(x['foreign'] for x in runs[name]):.2f} |", flush=True)


def main():
    a = arguments()
    out = open(a.out, "a") if a.out else None
    print(f"`{' '.join(sys.argv)}`\n\n| model | threads | program | ms per step | peer / ours | "
          "other processes, cores |\n| --- | --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        dlib = build_dlib(folder)
        for model in a.models.split(","):
            for threads in a.threads.split(","):
                compare(a, model, int(threads), dlib, out)


if __name__ == "__main__":
    main()

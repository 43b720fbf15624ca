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
    parser.add_argument("--set-ups", default="best,installed",
                        help="of PyTorch: best, installed, channels-last")
    parser.add_argument("--peers", default="pytorch,libtorch,dlib", help="those to run")
    parser.add_argument("--critic-only", action="store_true", help="the discriminator's step alone")
    parser.add_argument("--eigen", action="store_true", help="our Eigen path as a peer")
    parser.add_argument("--out", help="file for the JSON lines of all runs")
    a = parser.parse_args()
    for option, given, known in (("--set-ups", a.set_ups, SET_UPS),
                                 ("--peers", a.peers, ("pytorch", "libtorch", "dlib"))):
        for word in given.split(","):
            if word not in known:
                parser.error(f"{option}: expected words of {', '.join(known)}, found \"{word}\"")
    return a


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


def build_libtorch(folder):
    """-> the program, or None where it cannot be built"""
    cmake = shutil.which("cmake")
    if cmake is None:
        return None
    build = pathlib.Path(folder) / "libtorch"
    for command in ([cmake, "-S", str(HERE / "libtorch"), "-B", str(build),
                     "-DCMAKE_BUILD_TYPE=Release"], [cmake, "--build", str(build)]):
        if subprocess.run(command, capture_output=True, text=True).returncode != 0:
            return None
    return str(build / "libtorch_gan_step")


BUILDERS = {"dlib": build_dlib, "libtorch": build_libtorch}


def has_torch(python):
    if shutil.which(python) is None:
        return False
    found = subprocess.run([python, "-c", "import torch"], capture_output=True)
    return found.returncode == 0


SET_UPS = {"best": [], "installed": ["--installed"], "channels-last": ["--channels-last"]}


def programs(a, model, threads, built):
    """-> {name: command or the reason why there is none}, ours first"""
    common = ["--model", model, "--batch", str(a.batch), "--threads", str(threads), "--seconds",
              str(a.seconds)] + (["--critic-only"] if a.critic_only else [])
    all_ = {"gantry": [a.bench, "step", *common]}
    if a.eigen:
        all_["gantry, Eigen's products"] = [a.bench, "step", *common, "--kernels", "eigen"]
    wanted = a.peers.split(",")
    for python in (a.python or ["/usr/bin/python3"]) if "pytorch" in wanted else []:
        torch = [python, str(HERE / "torch_gan_step.py"), *common]
        installed = has_torch(python)
        for name in a.set_ups.split(","):
            all_[f"pytorch, {name} ({python})"] = \
                torch + SET_UPS[name] if installed else "PyTorch is not installed"
    if "libtorch" in wanted and not a.critic_only and \
            model in ("mlp28", "dcgan28", "dcgan32", "dcgan64"):
        for name in a.set_ups.split(","):
            all_[f"libtorch, {name}"] = \
                [built["libtorch"], model, str(a.batch), str(threads), str(a.seconds),
                 *SET_UPS[name]] if built["libtorch"] else \
                "not built: it needs cmake, a C++ compiler and libtorch-dev"
    if "dlib" in wanted and not a.critic_only and model in ("dcgan28", "dcgan32"):
        all_["dlib"] = ["env", f"OPENBLAS_NUM_THREADS={threads}", built["dlib"], model,
                        str(a.batch), str(a.seconds)] if built["dlib"] else \
            "not built: it needs g++, libdlib-dev and libopenblas-dev"
    return all_


def require_same_work(lines):
    """Programs that count their products must count the same."""
    work = {name: of[0]["gflop_per_step"] for name, of in lines.items()
            if "gflop_per_step" in of[0]}
    ours = work["gantry"]
    for name, gflop in work.items():
        if not abs(gflop - ours) <= 1e-3 * ours:
            raise RuntimeError(f"expected {name} to do the {ours:.4g} GFLOP per step that gantry "
                               f"does, found {gflop:.4g}; make both run the same networks")


def compare(a, model, threads, built, out):
    commands = programs(a, model, threads, built)
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
    require_same_work(runs)
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
        built = {name: BUILDERS[name](folder) for name in a.peers.split(",") if name in BUILDERS}
        for model in a.models.split(","):
            for threads in a.threads.split(","):
                compare(a, model, int(threads), built, out)


if __name__ == "__main__":
    main()

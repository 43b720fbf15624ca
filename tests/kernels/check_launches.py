#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Counts the kernels of a preset's training step without a GPU: the host's compiler builds
benchmarks/cuda/gan_step.cu with the emulator, which takes every launch and runs no kernel. The
numbers must be those of docs/kernels/launches.md; --update writes them.

    check_launches.py                        the presets of QUICK
    check_launches.py --presets all          those of the table
    check_launches.py --presets all --update
"""
import argparse
import json
import os
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from check_cubins import ROOT, run

TABLE = ROOT / "docs/kernels/launches.md"
QUICK = ("mlp28", "dcgan32")  # what is tested by default: each takes a compiler 20 s
BATCH = 64
# Kernels of a fully fused step, as designed; docs/kernels/backend.md says what of it is not there.
PLAN = {"mlp28": 29, "dcgan32": 34, "dcgan64": 42, "wgan_gp32": 113, "sngan32": 105}
INTRODUCTION = f"""# Kernels per training step

Written by `tests/kernels/check_launches.py --presets all --update`, which counts what
`benchmarks/cuda/gan_step.cu` starts for batches of {BATCH} in fp32 under the emulator; the test
`kernels_launches` compares {' and '.join(QUICK)}, the target `gantry_kernel_launches` all. A step
is one of the discriminator and one of the generator. "Plan" is what a fully fused step would take;
[backend.md](backend.md) says what the kernels are and what of the plan is not there.

"""


def build_command(compiler: str, preset: str, program: Path) -> list[str]:
    """Nothing is optimised: no kernel runs."""
    folders = ("tests/simt/cuda", "tests", "include", "kernels")
    return [compiler, "-std=c++20", "-O0", "-w", "-x", "c++", *(f"-I{ROOT / f}" for f in folders),
            f"-DGANTRY_STEP_PRESET={preset}", "-DGANTRY_STEP_MATH=fp32",
            str(ROOT / "benchmarks/cuda/gan_step.cu"), "-o", str(program), "-lpthread", "-lz"]


def counted(compiler: str, preset: str, folder: Path) -> tuple[int, int]:
    """Kernels and graphs of a step."""
    program = folder / preset
    built = run(build_command(compiler, preset, program))
    if built.returncode:
        raise RuntimeError(f"{preset}: {built.stderr[-2000:]}")
    step = run(["env", "SIMT_KERNELS=0", str(program), str(BATCH)])
    if step.returncode:
        raise RuntimeError(f"{preset}: {step.stderr[-2000:]}")
    line = json.loads(step.stdout)
    return line["kernels_per_step"], line["graphs_per_step"]


def read_table() -> dict[str, tuple[int, int]]:
    text = TABLE.read_text(encoding="utf-8") if TABLE.exists() else ""
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \|", text, re.MULTILINE)
    return {preset: (int(kernels), int(graphs)) for preset, kernels, graphs in rows}


def write_table(counts: dict[str, tuple[int, int]]) -> None:
    rows = ["| preset | kernels | graphs | plan |", "| --- | --- | --- | --- |"]
    rows += [f"| `{preset}` | {kernels} | {graphs} | {PLAN.get(preset, '')} |"
             for preset, (kernels, graphs) in counts.items()]
    TABLE.write_text(INTRODUCTION + "\n".join(rows) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compiler", default=os.environ.get("CXX", "c++"))
    parser.add_argument("--presets", default=",".join(QUICK), help="with commas between, or all")
    parser.add_argument("--update", action="store_true", help="write them into the table")
    options = parser.parse_args()
    known = read_table()
    presets = list(known) if options.presets == "all" else options.presets.split(",")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        found = dict(zip(presets, pool.map(
            lambda preset: counted(options.compiler, preset, Path(folder)), presets)))
    if options.update:
        write_table({**known, **found})
        return 0
    wrong = [preset for preset in presets if found[preset] != known.get(preset)]
    for preset in presets:
        print(f"{preset}: {found[preset][0]} kernels, {found[preset][1]} graphs")
    for preset in wrong:
        print(f"{TABLE.name} has {known.get(preset)} for {preset}; --update writes what is found")
    return 1 if wrong or not presets else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Compiles and links tests of the kernels for a GPU with nvcc, as scripts/gpu_check.sh does there:
by default those of the optimizers, which take a compiler least; with --all the whole program.
Where there is no GPU CUDA's runtime has to say so, elsewhere the tests have to pass.

Exit code 77 (skipped) where there is no nvcc or no ninja.
"""
import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from check_cubins import ROOT, SKIPPED, find_nvcc, run

sys.path.insert(0, str(ROOT / "benchmarks/cuda"))
from gpu_build import SYSTEM, ninja_file  # noqa: E402

QUICK, WHOLE = "optimizer_test", "kernel_tests"
NO_DEVICE = ("cudaErrorInsufficientDriver", "cudaErrorNoDevice")


def complaint_about(tests: subprocess.CompletedProcess) -> str | None:
    said = tests.stdout + tests.stderr
    return None if tests.returncode == 0 or any(n in said for n in NO_DEVICE) else said[-3000:]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nvcc", default="")
    parser.add_argument("--doctest", type=Path, default=SYSTEM[0],
                        help="the folder that has doctest/doctest.h")
    parser.add_argument("--all", action="store_true", help="every test, which takes minutes")
    options = parser.parse_args()
    nvcc = find_nvcc(options.nvcc)
    if not nvcc or not shutil.which("ninja"):
        print("skipped: nvcc or ninja was not found; set CUDA_HOME to where the CUDA Toolkit is")
        return SKIPPED
    name = WHOLE if options.all else QUICK
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "build.ninja"
        script.write_text(ninja_file(nvcc, options.doctest, folder, ()), encoding="utf-8")
        built = run(["ninja", "-f", str(script), f"{folder}/{name}"])
        if built.returncode:
            print(built.stdout[-4000:])
            return 1
        complaint = complaint_about(run([f"{folder}/{name}"]))
        print(complaint or f"{name}: built")
        return 1 if complaint else 0


if __name__ == "__main__":
    sys.exit(main())

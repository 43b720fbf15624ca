#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Builds benchmarks/cuda/gan_step.cu with nvcc for sm_90a: the training step of dcgan32 on
backend::cuda, host and device code, without spilled registers or local memory. Where there is a GPU
it takes three steps, elsewhere it has to say in one sentence that there is none.

Exit code 77 (skipped) where there is no nvcc.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from check_cubins import ROOT, SKIPPED, find_nvcc, run

NO_DEVICE = "gan_step: Device 0 was asked for, but there are 0"


def build_command(nvcc: str, preset: str, math: str, program: Path) -> list[str]:
    """Also what scripts/gpu_check.sh builds."""
    return [nvcc, "-std=c++20", "-O3", "--expt-relaxed-constexpr", "-diag-suppress",
            "177,186,554,3189", f"-I{ROOT}/include", f"-I{ROOT}/kernels",
            f"-DGANTRY_STEP_PRESET={preset}", f"-DGANTRY_STEP_MATH={math}", "-arch=sm_90a",
            "-Xptxas", "-warn-spills,-warn-lmem-usage,-Werror",
            f"{ROOT}/benchmarks/cuda/gan_step.cu", "-o", str(program), "-lpthread", "-lz"]


def complaint_about(step: subprocess.CompletedProcess) -> str | None:
    if step.returncode == 1 and step.stderr.startswith(NO_DEVICE):
        return None
    if step.returncode:
        return f"gan_step ended with {step.returncode}: {step.stderr.strip()[-400:]}"
    line = json.loads(step.stdout)
    return None if 0 < line["loss_d"] < 10 else f"the loss is {line['loss_d']}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nvcc", default="")
    parser.add_argument("--preset", default="dcgan32")
    parser.add_argument("--math", default="fp32")
    parser.add_argument("--out", type=Path, help="keeps the program")
    options = parser.parse_args()
    nvcc = find_nvcc(options.nvcc)
    if not nvcc:
        print("skipped: no nvcc was found, set CUDA_HOME to where the CUDA Toolkit is")
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        program = options.out or Path(folder) / "gan_step"
        built = run(build_command(nvcc, options.preset, options.math, program))
        if built.returncode:
            print(built.stderr[-4000:])
            return 1
        step = run([str(program), "8"])
        complaint = complaint_about(step)
        print(complaint or f"built; {(step.stdout or step.stderr).strip()}")
        return 1 if complaint else 0


if __name__ == "__main__":
    sys.exit(main())

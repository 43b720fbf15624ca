#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Builds gpu_ranks.cpp for sm_90a with nvcc and the NCCL that is installed: the transport compiles
and links with the real header and library. Where there is a GPU its tests run, elsewhere it has to
say in one sentence that there is none.

Exit code 77 (skipped) where there is no nvcc or no NCCL.
"""
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/kernels"))
from check_cubins import SKIPPED, find_nvcc, run  # noqa: E402

NO_DEVICE = "gpu_ranks: a device with its driver was expected, found none"


def find_nccl(nvcc: str) -> tuple[Path, Path] | None:
    """The folders of nccl.h and of libnccl.so."""
    cuda = Path(nvcc).resolve().parents[1]
    homes = [Path(home) for home in (os.environ.get("NCCL_ROOT"), cuda, "/usr") if home]
    for home in homes:
        headers = [f for f in (home / "include", home) if (f / "nccl.h").exists()]
        folders = [home / "lib", home / "lib64", *home.glob("lib/*-linux-gnu")]
        libraries = [f for f in folders if (f / "libnccl.so").exists()]
        if headers and libraries:
            return headers[0], libraries[0]
    return None


def build_command(nvcc: str, nccl: tuple[Path, Path], deps: str, program: Path) -> list[str]:
    """Also what scripts/gpu_check.sh builds."""
    found = [f"-I{deps}"] if deps else []
    return [nvcc, "-std=c++20", "-O1", "-arch=sm_90a", f"-I{ROOT}/include", f"-I{ROOT}/tests",
            f"-I{nccl[0]}", *found, f"{ROOT}/tests/nccl/gpu_ranks.cpp", "-o", str(program),
            f"-L{nccl[1]}", "-Xlinker", f"-rpath={nccl[1]}", "-lnccl", "-lpthread"]


def on_gpu(session, nvcc: str, deps: Path, build: Path, seconds: float) -> tuple[str, bool]:
    """The phase of scripts/gpu_check.sh: what it says, and whether it has failed."""
    nccl, program, begin = find_nccl(nvcc), build / "gpu_ranks", time.monotonic()
    if not nccl:
        return "left out: nccl.h and libnccl.so were not found, set NCCL_ROOT", False
    # Naming a folder that the compiler knows changes its order.
    own = "" if str(deps) in ("/usr/include", "/usr/local/include") else str(deps)
    built = session.run(build_command(nvcc, nccl, own, program), timeout=seconds)
    if built.returncode:
        return built.stderr[-3000:], True
    if session.options.rehearse:
        return "built; its tests need a GPU", False
    left = max(20.0, seconds - (time.monotonic() - begin))
    done = session.run(["timeout", "-k", "5", f"{left:.0f}", program])
    failed = done.returncode != 0
    return (done.stdout + done.stderr)[-4000:] if failed else "passed", failed


def main() -> int:
    nvcc = find_nvcc("")
    nccl = find_nccl(nvcc) if nvcc else None
    if not nccl:
        print("skipped: nvcc, nccl.h or libnccl.so was not found, set CUDA_HOME and NCCL_ROOT")
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "gpu_ranks"
        deps = sys.argv[1] if len(sys.argv) > 1 else ""
        built = run(build_command(nvcc, nccl, deps, program))
        if built.returncode:
            print(built.stderr[-4000:])
            return 1
        done: subprocess.CompletedProcess = run([str(program)])
        lacks_device = done.returncode == SKIPPED and done.stdout.strip() == NO_DEVICE
        print("built; " + (done.stdout + done.stderr).strip()[-2000:])
        return 0 if done.returncode == 0 or lacks_device else 1


if __name__ == "__main__":
    sys.exit(main())

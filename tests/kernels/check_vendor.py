#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""The vendor kernel set with the real cuBLASLt and cuDNN 9, without a GPU:

* vendor_plans_test.cpp by the host's compiler: cuDNN takes every graph and makes plans for the
  description of an H200, cuBLASLt takes every descriptor;
* vendor_twins_test.cpp by nvcc for sm_90a, compiled and linked; where there is no GPU it must end
  with the sentence that says so, else it must pass.

The libraries are looked for beside nvcc, in the folders that GANTRY_CUDNN and GANTRY_CUBLAS name
(each with include/ and lib/, as Python's wheels have them), and where Python's packages are.
Exit code 77 (skipped) where nvcc or a library is missing.
"""
import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from check_cubins import ROOT, SKIPPED, find_nvcc, run

NO_DEVICE = "Device 0 was asked for, but there are 0"
HERE = ROOT / "tests/kernels/vendor"
LIBRARIES = {"cudnn": ("GANTRY_CUDNN", "cudnn_backend.h", "libcudnn.so"),
             "cublasLt": ("GANTRY_CUBLAS", "cublasLt.h", "libcublasLt.so")}


def homes(nvcc: str, variable: str) -> list[Path]:
    """Folders that may have include/ and lib/ of a library, the most wanted first."""
    given = os.environ.get(variable)
    nvcc = shutil.which(nvcc) or nvcc
    packages = Path(sysconfig.get_paths()["purelib"]) / "nvidia"
    return ([Path(given)] if given else []) + [Path(nvcc).resolve().parents[1],
                                               *sorted(packages.glob("*")), Path("/usr")]


def find_library(nvcc: str, variable: str, header: str, name: str) -> tuple[Path, Path] | None:
    """(folder of the header, the library itself)"""
    for home in homes(nvcc, variable):
        headers = [d for d in (home / "include", home / "include/x86_64-linux-gnu")
                   if (d / header).exists()]
        found = sorted(f for d in ("lib", "lib64", "lib/x86_64-linux-gnu")
                       for f in (home / d).glob(name + "*"))
        if headers and found:
            return headers[0], found[0]
    return None


def find_libraries(nvcc: str) -> tuple[list[str], list[str], list[str]]:
    """(flags for headers, flags for the linker, what is missing)"""
    headers, link, missing = [], [], []
    for name, (variable, header, library) in LIBRARIES.items():
        found = find_library(nvcc, variable, header, library)
        if not found:
            missing.append(f"{name} ({variable})")
            continue
        headers.append(f"-I{found[0]}")
        folder = found[1].parent
        link += [f"-L{folder}", f"-l:{found[1].name}", "-Xlinker", "-rpath", "-Xlinker",
                 str(folder)]
    return headers, link, missing


def host_command(nvcc: str, doctest: list[str], program: Path) -> list[str]:
    headers, link, _ = find_libraries(nvcc)
    home = Path(nvcc).resolve().parents[1]
    return [os.environ.get("CXX", "c++"), "-std=c++20", "-O1", "-w", f"-I{ROOT}/include",
            f"-I{ROOT}/kernels", f"-I{ROOT}/tests", *doctest, *headers, f"-I{home}/include",
            str(HERE / "vendor_plans_test.cpp"), f"{ROOT}/tests/support/main.cpp", "-o",
            str(program), *link]


def device_command(nvcc: str, doctest: list[str], program: Path) -> list[str]:
    headers, link, _ = find_libraries(nvcc)
    return [nvcc, "-std=c++20", "-O1", "--expt-relaxed-constexpr", "-diag-suppress",
            "177,186,445,554,3189", "-arch=sm_90a", "-DGANTRY_ONE_MATH", f"-I{ROOT}/include",
            f"-I{ROOT}/kernels", f"-I{ROOT}/tests", *doctest, *headers, "-x", "cu",
            str(HERE / "vendor_twins_test.cpp"), f"{ROOT}/tests/support/main.cpp", "-o",
            str(program), *link, "-lpthread"]


def complaint_about(twins: subprocess.CompletedProcess) -> str | None:
    said = twins.stdout + twins.stderr
    return None if twins.returncode == 0 or NO_DEVICE in said else said[-3000:]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nvcc", default="")
    parser.add_argument("--doctest", help="the folder that has doctest/doctest.h")
    options = parser.parse_args()
    nvcc = find_nvcc(options.nvcc)
    if not nvcc:
        print("skipped: no nvcc was found, set CUDA_HOME to where the CUDA Toolkit is")
        return SKIPPED
    _, _, missing = find_libraries(nvcc)
    if missing:
        print(f"skipped: without {' and '.join(missing)}; set the variables to the folders that "
              "have include/ and lib/")
        return SKIPPED
    doctest = [f"-I{options.doctest}"] if options.doctest else []
    with tempfile.TemporaryDirectory() as folder:
        for command, judge in (
                (host_command, lambda done: done.stdout if done.returncode else None),
                (device_command, complaint_about)):
            program = Path(folder) / command.__name__
            built = run(command(nvcc, doctest, program))
            if built.returncode:
                print(built.stderr[-4000:])
                return 1
            done = run([str(program)])
            complaint = judge(done)
            if complaint:
                print(complaint)
                return 1
            last = done.stdout.strip().splitlines()[-1]
            said = "no GPU is here" if NO_DEVICE in done.stdout else last
            print(f"{command.__name__}: built; {said}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

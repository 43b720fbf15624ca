# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""What gpu_check.py builds, as a file of ninja."""
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/kernels"))
from check_vendor import find_libraries  # noqa: E402

MATHS = ("fp32", "tf32", "bf16", "bf16x3")
VENDOR_MATHS = MATHS[:3]
MODERN = ("wgan_gp32", "sngan32")  # in fewer arithmetics: they compile longest
SYSTEM = (Path("/usr/include"), Path("/usr/local/include"))
STEP = ROOT / "benchmarks/cuda/gan_step.cu"


def tests_of_kernels() -> list[Path]:
    return sorted(ROOT.glob("tests/kernels/*_test.cpp")) + sorted(
        ROOT.glob("tests/kernels/backend/*_test.cpp"))


def presets(workloads) -> list[str]:
    return list(dict.fromkeys(model for model, _ in workloads))


def maths_of(preset) -> tuple[str, ...]:
    return VENDOR_MATHS[1:] if preset in MODERN else MATHS


def ninja_file(nvcc, deps, build, workloads) -> str:
    headers, link, missing = find_libraries(nvcc)
    flags = ("-std=c++20 --expt-relaxed-constexpr -diag-suppress 177,186,445,554,3189 "
             f"-arch=sm_90a -I{ROOT}/include -I{ROOT}/kernels -I{ROOT}/tests "
             f"-DGANTRY_SOURCE_DIR='\"{ROOT}\"'")
    doctest = "" if deps in SYSTEM else f" -I{deps}"  # a folder that it knows changes its order
    flags += doctest
    lines = [f"nvcc = {nvcc}", f"flags = {flags}", f"headers = {' '.join(headers)}",
             f"link = {' '.join(link)}", "",
             "rule object", "  command = $nvcc -x cu $flags $headers -O2 -c $in -o $out",
             "rule program", "  command = $nvcc -arch=sm_90a $in -o $out $link -lpthread",
             "rule step", "  command = $nvcc $flags $headers $vendor -O3 "
             "-DGANTRY_STEP_PRESET=$preset -DGANTRY_STEP_MATH=$math $in -o $out $link -lpthread",
             "rule emulated", f"  command = c++ -std=c++20 -O1 -w -I{ROOT}/tests/simt/cuda "
             f"-I{ROOT}/include -I{ROOT}/kernels -I{ROOT}/tests{doctest} $in -o $out -lpthread", ""]
    sources = tests_of_kernels()
    if not missing:
        sources.append(ROOT / "tests/kernels/vendor/vendor_twins_test.cpp")
    objects = {}
    for source in [*sources, ROOT / "tests/support/main.cpp"]:
        objects[source.stem] = f"{build}/{source.stem}.o"
        lines.append(f"build {objects[source.stem]}: object {source}")
    lines.append(f"build {build}/kernel_tests: program {' '.join(objects.values())}")
    for stem in sorted(objects.keys() - {"main"}):  # tests of one file, on request
        lines.append(f"build {build}/{stem}: program {objects[stem]} {objects['main']}")
    lines.append(f"build {build}/ptx_emulated: emulated {ROOT}/tests/kernels/ptx_test.cpp "
                 f"{ROOT}/tests/support/main.cpp")
    wanted = ["kernel_tests", "ptx_test", "ptx_emulated"]
    for preset in presets(workloads):
        for math in maths_of(preset):
            twin = math in VENDOR_MATHS and not missing
            wanted.append(f"step_{preset}_{math}")
            lines += [f"build {build}/step_{preset}_{math}: step {STEP}",
                      f"  preset = {preset}", f"  math = {math}",
                      f"  vendor = {'-DGANTRY_STEP_VENDOR' if twin else ''}"]
    lines.append("default " + " ".join(f"{build}/{name}" for name in wanted))
    return "\n".join(lines) + "\n"

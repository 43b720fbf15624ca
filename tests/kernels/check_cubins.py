#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Compiles the instances in cubins/ with nvcc and judges the machine code, without a GPU:

* no spilled registers and no local memory (ptxas's warnings are errors), no wgmma that waits for
  the one before;
* tensor-core instructions where the arithmetic is tf32 or bf16, ldmatrix where it is bf16, and
  none of them elsewhere;
* host code that compiles, too: nvcc writes a stub for every kernel;
* registers and shared memory as docs/kernels/registers.md has them, if nvcc's version is that of
  the table. --update writes the table.

Exit code 77 (skipped) where there is no nvcc.
"""
import argparse
import collections
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs/kernels/registers.md"
ARCHITECTURES = ("80", "90a", "100")
HOST_TOO = "90a"
SKIPPED = 77
# An instruction has 16 bytes since Volta, its opcode is in the low 12 bits. NVIDIA publishes no
# list; these were matched with PTX by their counts.
OPCODES = {0x23C: "HMMA", 0x83B: "LDSM", 0x387: "STL", 0x983: "LDL"}
MATHS = ("fp32", "tf32", "bf16", "bf16x3", "bf16x6")
SIZES = ("large", "small")
INTRODUCTION = """# Registers and shared memory

Written by `tests/kernels/check_cubins.py --update` with nvcc {version}; the test `kernels_cubins`
compares. A kernel's cell is registers per thread, then the bytes of static shared memory if it has
any. None of them spills or uses local memory. Times on a GPU: not measured.

"""


def run(command: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def find_nvcc(given: str) -> str | None:
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    candidates = [given] + [f"{home}/bin/nvcc" for home in homes if home]
    return next((c for c in candidates if c and shutil.which(c)), shutil.which("nvcc"))


def compile_command(nvcc: str, source: Path) -> list[str]:
    return [nvcc, "-std=c++20", "-O3", "--expt-relaxed-constexpr", "-diag-suppress", "554",
            f"-I{ROOT}/include", f"-I{ROOT}/kernels", str(source)]


def opcodes(cubin: Path) -> dict[str, collections.Counter]:
    """Per kernel, how often the known opcodes occur. A cubin is an ELF file."""
    data = cubin.read_bytes()
    begin, = struct.unpack_from("<Q", data, 0x28)
    size, count, names = struct.unpack_from("<HHH", data, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, begin + i * size) for i in range(count)]
    strings, found = sections[names][4], {}
    for section in sections:
        start = strings + section[0]
        name = data[start:data.index(b"\0", start)].decode()
        if name.startswith(".text."):
            words = range(section[4], section[4] + section[5], 16)
            found[name[6:]] = collections.Counter(
                OPCODES.get(struct.unpack_from("<Q", data, i)[0] & 0xFFF, "other") for i in words)
    return found


def readable(mangled: str) -> str:
    """A kernel's name without what all of them share."""
    name = run(["c++filt", mangled]).stdout.strip() or mangled
    name = re.sub(r"(gantry::)?(v0::)?(kernels::)?", "", name.removeprefix("void "))
    name = name[:name.rindex(">(") + 1] if ">(" in name else name
    name = re.sub(r"\(gemm_math\)(\d)", lambda m: MATHS[int(m[1])], name)
    name = re.sub(r"\(gemm_size\)(\d)", lambda m: SIZES[int(m[1])], name)
    for long, short in ((r"gemm_selector<(\w+), (\w+)>", r"\1 \2"), (r"function::", ""),
                        (r"\w+_policy_selector, true", "packs"),
                        (r"\w+_policy_selector, false", "singles"), (r" >", ">")):
        name = re.sub(long, short, name)
    return name


def compile_for(nvcc: str, source: Path, architecture: str, folder: Path):
    """(complaints, {kernel: cell}) of one source for one architecture, its host code once."""
    where = f"{source.name} for sm_{architecture}"
    own = folder / f"{source.stem}_{architecture}"
    own.mkdir()
    kind = ["-c", "--keep", f"--keep-dir={own}"] if architecture == HOST_TOO else ["-cubin"]
    cubin = own / f"{source.stem}.cubin"
    done = run(compile_command(nvcc, source) + kind + [
        f"-arch=sm_{architecture}", "-o", str(cubin.with_suffix(".o") if kind[1:] else cubin),
        "-Xptxas", "-v,-warn-spills,-warn-lmem-usage,-Werror"])
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line]
        return [f"{where}: {error}" for error in errors], {}
    if not cubin.exists():
        cubin = next(own.glob("*.cubin"))
    complaints, cells = [], {}
    if re.search(r"C75\d\d|wgmma.*serializ", done.stderr):  # a note, no warning, to ptxas
        complaints.append(f"{where}: ptxas waits for each wgmma instead of keeping some under way")
    counts = opcodes(cubin)
    for match in re.finditer(r"entry function '(\w+)'.*?Used (\d+) registers([^\n]*)", done.stderr,
                             re.DOTALL):
        name, registers, rest = readable(match[1]), match[2], match[3]
        shared = re.search(r"(\d+) bytes smem", rest)
        cells[name] = registers + (f" + {shared[1]} B" if shared else "")
        found = counts[match[1]]
        math = next((m for m in reversed(MATHS) if f"<{m} " in name), "")
        for opcode, wanted in (("HMMA", math not in ("", "fp32")), ("LDSM", "bf16" in math),
                               ("STL", False), ("LDL", False)):
            if (found[opcode] > 0) != wanted:
                complaints.append(f"{where}: {name} has {found[opcode]} {opcode}")
    if not cells:
        complaints.append(f"{where}: ptxas names no kernel")
    return complaints, cells


def table_of(version: str, cells: dict[str, dict[str, str]]) -> str:
    lines = ["| kernel | " + " | ".join(f"sm_{a}" for a in ARCHITECTURES) + " |",
             "| --- |" + " --- |" * len(ARCHITECTURES)]
    for name in sorted(cells):
        row = " | ".join(cells[name].get(a, "-") for a in ARCHITECTURES)
        lines.append(f"| `{name}` | {row} |")
    return INTRODUCTION.format(version=version) + "\n".join(lines) + "\n"


def compare(found: str, version: str) -> list[str]:
    expected = TABLE.read_text(encoding="utf-8") if TABLE.exists() else ""
    if f"with nvcc {version};" not in expected and expected:
        print(f"the table is another nvcc's, not {version}'s: registers are not compared")
        return []
    if found == expected:
        return []
    old, new = set(expected.splitlines()), set(found.splitlines())
    return ([f"{TABLE.name} does not have: {line}" for line in sorted(new - old)] +
            [f"{TABLE.name} still has: {line}" for line in sorted(old - new)] +
            ["write the table anew with tests/kernels/check_cubins.py --update"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nvcc", default="")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--update", action="store_true")
    options = parser.parse_args()
    nvcc = find_nvcc(options.nvcc)
    if not nvcc:
        print("skipped: no nvcc was found, set CUDA_HOME to where the CUDA Toolkit is")
        return SKIPPED
    version = re.search(r"release (\d+\.\d+)", run([nvcc, "--version"]).stdout)[1]
    known = run([nvcc, "--list-gpu-code"]).stdout.split()
    wanted = [a for a in ARCHITECTURES if f"sm_{a}" in known or f"sm_{a[:-1]}" in known]
    sources = sorted((Path(__file__).parent / "cubins").glob("*.cu"))
    complaints, cells = [], collections.defaultdict(dict)
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(options.jobs) as pool:
        folder = Path(name)
        devices = [(a, pool.submit(compile_for, nvcc, s, a, folder))
                   for s in sources for a in wanted]
        for architecture, future in devices:
            more, kernels = future.result()
            complaints += more
            for kernel, cell in kernels.items():
                cells[kernel][architecture] = cell
    table = table_of(version, cells)
    if options.update:
        TABLE.parent.mkdir(parents=True, exist_ok=True)
        TABLE.write_text(table, encoding="utf-8")
    elif not complaints:
        complaints += compare(table, version)
    for complaint in complaints:
        print(complaint)
    print(f"{len(cells)} kernels for {', '.join('sm_' + a for a in wanted)} with nvcc {version}, "
          f"{len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

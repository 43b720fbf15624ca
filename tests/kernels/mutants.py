#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Takes away one synchronisation of the kernels at a time and says whether the tests notice:
mutants.py [compiler]. Orders of threads find most, ThreadSanitizer the rest; takes minutes.

Exit code 1 if a mutant survives that SURVIVORS does not explain.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KERNELS = "kernels/gantry/kernels"
# Which test program covers a file.
TESTS = {"common/reduce.cuh": ("pointwise", "batch_norm"), "gemm/tile.cuh": ("gemm",),
         "common/columns.cuh": ("batch_norm",), "common/rows.cuh": ("sample_norms",),
         "attention/tile.cuh": ("attention",)}
MUTATIONS = (
    (re.compile(r"__sync(threads|warp)\(\);"), ";"),
    (re.compile(r"__threadfence\(\);"), ";"),
    (re.compile(r"atomicAdd\((\w+), 1u\)"), r"(*\1)++"),
    (re.compile(r"if \(shared_flag\) atomicExch\(ticket, 0u\);"), ";"),
)
# Lines whose mutants no test can tell from the original, and why.
SURVIVORS = {
    "if (last) __threadfence();": "(a GPU needs it: x86 does not, and ThreadSanitizer has seen "
                                  "the others' fences at this block's fence before the ticket)",
}
ORDERS = ("forward", "reverse", "random:1", "random:2")


def build(compiler: str, tree: Path, tests: tuple[str, ...], flags: list[str]) -> Path | None:
    program = tree / "mutant"
    sources = [str(tree / f"tests/kernels/{test}_test.cpp") for test in tests]
    result = subprocess.run(
        [compiler, "-std=c++20", "-O1", "-w", "-pthread", f"-I{tree}/tests/simt/cuda",
         f"-I{tree}/include", f"-I{tree}/kernels", f"-I{tree}/tests", *flags, *sources,
         str(tree / "tests/support/main.cpp"), "-o", str(program)],
        capture_output=True, text=True, check=False)
    return program if result.returncode == 0 else None


def fails(program: Path, **environment: str) -> bool:
    prefix = ["setarch", "-R"] if shutil.which("setarch") else []
    try:
        result = subprocess.run([*prefix, str(program)], capture_output=True, check=False,
                                env={**os.environ, **environment}, timeout=300)
    except subprocess.TimeoutExpired:
        return True
    return result.returncode != 0


def caught_by(compiler: str, tree: Path, tests: tuple[str, ...]) -> str:
    program = build(compiler, tree, tests, [])
    if program is None:
        return "the compiler"
    for order in ORDERS:
        if fails(program, SIMT_ORDER=order):
            return f"order {order}"
    program = build(compiler, tree, tests, ["-g1", "-fsanitize=thread"])
    if program and fails(program, TSAN_OPTIONS="halt_on_error=1"):
        return "ThreadSanitizer"
    return ""


def main() -> int:
    compiler = sys.argv[1] if len(sys.argv) > 1 else "g++"
    survived = 0
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        for folder in ("include", "kernels", "tests"):
            shutil.copytree(ROOT / folder, tree / folder)
        for file, tests in TESTS.items():
            path = tree / KERNELS / file
            original = path.read_text(encoding="utf-8")
            for pattern, replacement in MUTATIONS:
                for match in pattern.finditer(original):
                    path.write_text(original[:match.start()] + match.expand(replacement) +
                                    original[match.end():], encoding="utf-8")
                    line = original.count("\n", 0, match.start()) + 1
                    how = caught_by(compiler, tree, tests)
                    known = SURVIVORS.get(original.splitlines()[line - 1].strip(), "")
                    survived += not how and not known
                    print(f"{file}:{line} without {match[0]}: " +
                          (f"caught by {how}" if how else f"survives {known}"), flush=True)
            path.write_text(original, encoding="utf-8")
    print(f"{survived} mutants survive without an explanation")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Takes away one synchronisation of the kernels at a time and says whether the tests notice:
mutants.py [compiler] [file...], files as in TESTS. Orders of threads find most, ThreadSanitizer
the rest. All mutants are compiled in, a variable of the environment chooses one; takes minutes.

Exit code 1 if a mutant survives that SURVIVORS does not explain.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
KERNELS = "kernels/gantry/kernels"
# Which tests cover a file.
TESTS = {"common/reduce.cuh": ("pointwise", "batch_norm"), "common/columns.cuh": ("batch_norm",),
         "common/rows.cuh": ("sample_norms",), "common/turns.cuh": ("resample",),
         "spectral_norm/tile.cuh": ("resample",),
         "attention/tile.cuh": ("attention",), "gemm/fusion.cuh": ("fusion",),
         "gemm/tile.cuh": ("fusion",), "penalty/tile.cuh": ("penalty",),
         "pointwise/tile.cuh": ("penalty",)}
MUTATIONS = (
    (re.compile(r"(__sync(?:threads|warp)|__threadfence)\(\);"),
     r"(keeps(NUMBER) ? \1() : void());"),
    (re.compile(r"atomicAdd\(([\w +]+), 1u\)"),
     r"(keeps(NUMBER) ? atomicAdd(\1, 1u) : (*(\1))++)"),
    (re.compile(r"if \(shared_flag\) atomicExch\(ticket, 0u\);"),
     "if (shared_flag && keeps(NUMBER)) atomicExch(ticket, 0u);"),
)
# Every source of a program includes it first.
CHOICE = """#include <cstdlib>
inline const int mutant = std::getenv("MUTANT") ? std::atoi(std::getenv("MUTANT")) : -1;
inline bool keeps(int number) { return number != mutant; }
"""
# Lines whose mutants no test can tell from the original, and why.
SURVIVORS = {
    "if (last) __threadfence();": "(a GPU needs it: x86 does not, and ThreadSanitizer has seen "
                                  "the others' fences at this block's fence before the ticket)",
    "__syncwarp();  // a shuffle orders no memory, and results may overwrite terms":
        "(in the ops that there are, a lane overwrites only what it has read itself)",
}
ORDERS = ("forward", "reverse", "random:1", "random:2")


class Mutant(NamedTuple):
    """A synchronisation that can be left out."""
    file: str
    line: int
    text: str   # what is left out
    whole: str  # the line that it is in


def plant(tree: Path, files: list[str]) -> list[Mutant]:
    """Makes every synchronisation of the files one that its number switches off."""
    found: list[Mutant] = []
    for file in files:
        path = tree / KERNELS / file
        original = path.read_text(encoding="utf-8")
        changes = []
        for pattern, replacement in MUTATIONS:
            for match in pattern.finditer(original):
                line = original.count("\n", 0, match.start()) + 1
                number = str(len(found))
                changes.append((match.span(), match.expand(replacement).replace("NUMBER", number)))
                found.append(Mutant(file, line, match[0], original.splitlines()[line - 1].strip()))
        text = original
        for (begin, end), change in sorted(changes, reverse=True):
            text = text[:begin] + change + text[end:]
        path.write_text(text, encoding="utf-8")
    return found


def build(compiler: str, tree: Path, tests: list[str], name: str, flags: list[str]) -> Path:
    """One program of the tests. @raises subprocess.CalledProcessError"""
    objects = []
    sources = [f"tests/kernels/{test}_test.cpp" for test in tests] + ["tests/support/main.cpp"]
    for source in sources:
        objects.append(str(tree / (Path(source).stem + "." + name + ".o")))
        subprocess.run(
            [compiler, "-std=c++20", "-O1", "-w", "-pthread", "-include", str(tree / "choice.hpp"),
             f"-I{tree}/tests/simt/cuda", f"-I{tree}/include", f"-I{tree}/kernels",
             f"-I{tree}/tests", *flags, "-c", str(tree / source), "-o", objects[-1]], check=True)
    program = tree / name
    subprocess.run([compiler, "-pthread", *flags, *objects, "-o", str(program)], check=True)
    return program


def fails(program: Path, tests: tuple[str, ...], **environment: str) -> bool:
    prefix = ["setarch", "-R"] if shutil.which("setarch") else []
    cases = "-sf=" + ",".join(f"*/{test}_test.cpp" for test in tests)
    try:
        result = subprocess.run([*prefix, str(program), cases], capture_output=True, check=False,
                                env={**os.environ, **environment}, timeout=300)
    except subprocess.TimeoutExpired:
        return True
    return result.returncode != 0


def caught_by(programs: dict[str, Path], number: int, tests: tuple[str, ...]) -> str:
    mutant = {"MUTANT": str(number)}
    for order in ORDERS:
        if fails(programs["plain"], tests, SIMT_ORDER=order, **mutant):
            return f"order {order}"
    if fails(programs["races"], tests, TSAN_OPTIONS="halt_on_error=1", **mutant):
        return "ThreadSanitizer"
    return ""


def main() -> int:
    compiler = sys.argv[1] if len(sys.argv) > 1 else "g++"
    files = sys.argv[2:] or list(TESTS)
    tests = sorted({test for file in files for test in TESTS[file]})
    survived, caught = 0, {}
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        for folder in ("include", "kernels", "tests"):
            shutil.copytree(ROOT / folder, tree / folder)
        (tree / "choice.hpp").write_text(CHOICE, encoding="utf-8")
        mutants = plant(tree, files)
        programs = {"plain": build(compiler, tree, tests, "plain", []),
                    "races": build(compiler, tree, tests, "races", ["-g1", "-fsanitize=thread"])}
        for kind, program in programs.items():
            if fails(program, tuple(tests)):
                print(f"the tests fail without a mutant ({kind}), so they say nothing")
                return 1
        for number, mutant in enumerate(mutants):
            how = caught_by(programs, number, TESTS[mutant.file])
            known = SURVIVORS.get(mutant.whole, "")
            survived += not how and not known
            caught[how.split(" ")[0]] = caught.get(how.split(" ")[0], 0) + 1
            print(f"{mutant.file}:{mutant.line} without {mutant.text}: " +
                  (f"caught by {how}" if how else f"survives {known}"), flush=True)
    print(f"{len(mutants)} mutants: {caught.get('order', 0)} caught by an order of threads, "
          f"{caught.get('ThreadSanitizer', 0)} by ThreadSanitizer, {survived} survive without an "
          "explanation")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())

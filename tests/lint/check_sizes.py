#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Checks the budgets of the house: check_sizes.py [root].

Lines per file, median and 90th percentile of the headers, macros per thousand lines, the two SPDX
lines, a sentence in each static_assert, 100 columns, no tabs, no blanks at the end of a line.
"""
import re
import statistics
import sys

from cpp_text import matching, split_arguments
from source_tree import Source, run_lint

COLUMNS = 100
HEADER_MEDIAN, HEADER_P90, DEFINES_PER_KLOC = 180, 450, 1.0
SMALLEST_SAMPLE = 10  # fewer headers have no meaningful percentile
CAPS = (  # the first prefix that fits
    ("include/", 600),
    ("kernels/", 500),
    ("examples/gantry-train/", 400),
    ("examples/", 200),
    ("tests/", 400),
    ("benchmarks/", 400),
    ("CMakeLists.txt", 150),
    ("", 300),
)
SPDX = ("SPDX-FileCopyrightText: The Gantry authors", "SPDX-License-Identifier: Apache-2.0")


def check_file(source: Source) -> list[str]:
    complaints = []

    def complain(line: int, sentence: str) -> None:
        complaints.append(f"{source.path}:{line}: {sentence}")

    cap = next(cap for prefix, cap in CAPS if source.path.startswith(prefix))
    if len(source.lines) > cap:
        complain(cap + 1, f"{len(source.lines)} lines, at most {cap}; split the file")
    head = source.lines[1:3] if source.text.startswith("#!") else source.lines[:2]
    sign = "// " if source.is_cpp else "# "
    if head != [sign + line for line in SPDX]:
        complain(1, "the file must begin with the two SPDX lines")
    for number, line in enumerate(source.lines, 1):
        if len(line) > COLUMNS and "://" not in line:
            complain(number, f"{len(line)} columns, at most {COLUMNS}")
        if "\t" in line:
            complain(number, "a tab; indent with blanks")
        if line != line.rstrip():
            complain(number, "blanks at the end of the line")
    if not source.text.endswith("\n") or source.text.endswith("\n\n"):
        complain(len(source.lines), "the file must end with exactly one newline")
    return complaints


def check_static_asserts(source: Source) -> list[str]:
    complaints = []
    for match in re.finditer(r"\bstatic_assert\s*\(", source.code):
        end = matching(source.code, match.end() - 1)
        arguments = split_arguments(source.code[match.end():end - 1])
        last = source.text[end - 1 - len(arguments[-1]):end - 1]
        sentence = "".join(re.findall(r'"((?:[^"\\\n]|\\.)*)"', last))
        if len(arguments) < 2 or len(sentence.split()) < 3:
            complaints.append(f"{source.path}:{source.line_of(match.start())}: "
                              "static_assert without a sentence for the user")
    return complaints


def check_macro_names(source: Source) -> list[str]:
    """A macro of a header is one of every program that includes it."""
    return [f"{source.path}:{source.line_of(match.start())}: the macro {match[1]} of a header "
            "needs the prefix GANTRY_"
            for match in re.finditer(r"^[ \t]*#[ \t]*define[ \t]+(\w+)", source.code, re.MULTILINE)
            if not match[1].startswith("GANTRY_")]


def check_density(library: list[Source]) -> tuple[list[str], str]:
    """Limits on all headers together."""
    complaints = []
    sizes = sorted(len(source.lines) for source in library)
    lines = sum(sizes)
    defines = sum(len(re.findall(r"^[ \t]*#[ \t]*define\b", s.code, re.MULTILINE)) for s in library)
    median = statistics.median(sizes) if sizes else 0
    p90 = sizes[int(0.9 * (len(sizes) - 1))] if sizes else 0
    per_kloc = 1000 * defines / lines if lines else 0
    if len(sizes) >= SMALLEST_SAMPLE:
        if median > HEADER_MEDIAN:
            complaints.append(f"the median header has {median:.0f} lines, at most {HEADER_MEDIAN}")
        if p90 > HEADER_P90:
            complaints.append(f"every tenth header has over {p90} lines, at most {HEADER_P90}")
    if per_kloc >= DEFINES_PER_KLOC and defines > 1:
        complaints.append(f"{defines} #define in {lines} lines, fewer than 1 per 1000 are allowed")
    return complaints, (f"{len(sizes)} headers of {lines} lines (median {median:.0f}, p90 {p90}), "
                        f"{defines} #define")


def check(sources: list[Source]) -> tuple[list[str], str]:
    complaints = [complaint for source in sources for complaint in check_file(source)]
    library = [s for s in sources if s.is_cpp and s.path.startswith(("include/", "kernels/"))]
    complaints += [complaint for source in library for complaint in check_static_asserts(source)]
    complaints += [complaint for source in library for complaint in check_macro_names(source)]
    density, summary = check_density(library)
    own = sum(len(s.lines) for s in library)
    tests = sum(len(s.lines) for s in sources if s.is_cpp and s.path.startswith("tests/"))
    return complaints + density, f"{summary}, tests {100 * tests / max(own, 1):.0f} % of them"


if __name__ == "__main__":
    sys.exit(run_lint("check_sizes", check))

#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Checks how headers are included: check_includes.py [root].

#pragma once in each header, our own headers as "gantry/..." and found, others in angle brackets, no
"..", no source file and no header twice, and no .hpp that needs nvcc through a .cuh.
"""
import re
import sys

from source_tree import Include, Source, run_lint

AS_A_USER = ("examples/", "tests/packaging/")  # where <gantry/...> reads as it does elsewhere
FIRST_DIRECTIVE = re.compile(r"^[ \t]*#.*$", re.MULTILINE)


def roots_of(path: str) -> list[str]:
    """Where a quoted name is looked up, as tests/CMakeLists.txt and others set it up."""
    if path.startswith(("include/", "kernels/")):
        return ["include", "kernels"]
    here, top = path.rpartition("/")[0], path.partition("/")[0]
    roots = ["include", "kernels", here, top]
    return roots + ["examples"] if top in ("benchmarks", "tests") else roots  # parts of programs


def check_include(source: Source, include: Include, known: set[str]) -> str | None:
    name, own = include.name, include.name.startswith("gantry/")
    if ".." in name.split("/"):
        return f'"{name}" climbs with ".."; include it from its root'
    if name.endswith((".cpp", ".cu")):
        return f'"{name}" is a source file; only headers are included'
    if own and not include.quoted and not source.path.startswith(AS_A_USER):
        return f'<{name}> is our own header; write "{name}"'
    if source.path.endswith(".hpp") and name.endswith(".cuh"):
        return f'"{name}" needs nvcc; a .hpp must compile with any compiler'
    if not own and not include.quoted:
        return None
    if not own and source.path.startswith(("include/", "kernels/")):
        return f'"{name}" is not under gantry/; others\' headers stand in <>'
    roots = ["include", "kernels"] if own else roots_of(source.path)
    if not any(f"{root}/{name}" in known for root in roots):
        return f'"{name}" does not exist'
    return None


def check(sources: list[Source]) -> tuple[list[str], str]:
    complaints = []
    cpp = [source for source in sources if source.is_cpp]
    known = {source.path for source in sources}
    for source in cpp:
        seen = set()
        for include in source.includes:
            sentence = check_include(source, include, known)
            if sentence is None and include.name in seen and not source.path.endswith(".cpp"):
                sentence = f"{include.name} is included twice"
            seen.add(include.name)
            if sentence:
                complaints.append(f"{source.path}:{include.line}: {sentence}")
        if source.is_header:
            first = FIRST_DIRECTIVE.search(source.code)
            if not first or first.group().split() != ["#pragma", "once"]:
                complaints.append(f"{source.path}:1: a header begins with #pragma once")
    return complaints, f"{sum(len(s.includes) for s in cpp)} includes"


if __name__ == "__main__":
    sys.exit(run_lint("check_includes", check))

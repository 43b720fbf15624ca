#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Checks how long functions are and how many parameters they take: check_functions.py [root].

A reader's parser, not a compiler's: a function is a "(...)" followed by a body, outside any other
body; lambdas count as part of the function they are in.
"""
import re
import sys

from cpp_text import matching, split_arguments
from source_tree import Source, run_lint

HOST_LINES, DEVICE_LINES, PARAMETERS = 60, 120, 6
TEST_LINES = 120  # a table of cases is long and easy to read
NO_FUNCTION = {"if", "for", "while", "switch", "catch", "return", "decltype", "noexcept",
               "requires", "alignas", "sizeof", "static_assert", "explicit", "constexpr"}
NAME = re.compile(r"([~\w]+|operator[^\s\w(]{1,3}|operator\(\))\s*\(")
# The end of "name(...) : a_(...), b_", where a brace initialises a member.
INITIALISER = re.compile(r"(\)[^;{}]*[^:]:|[)}]\s*,)\s*\w+(<[^<>{}]*>)?$")
# Between a parameter list and its body: qualifiers, a trailing return type, a requires clause.
AFTER_PARAMETERS = re.compile(r"[\s\w:&*<>,.\[\]=!|+-]*")


def body_after(code: str, position: int) -> int | None:
    """Where the body "{" of the function whose parameter list ends at `position` stands."""
    while position < len(code):
        position = AFTER_PARAMETERS.match(code, position).end()
        character = code[position:position + 1]
        before = code[:position].rstrip()[-1:]
        if character == "(":  # noexcept(...), requires (...), a member initialiser
            position = matching(code, position)
        elif character == "{":
            if INITIALISER.search(code[max(0, position - 400):position].rstrip()):
                position = matching(code, position)
                continue
            return position if before != "=" else None
        else:
            return None
    return None


def functions(source: Source):
    """Yields (line, name, parameters, lines of the body)."""
    code, position = source.code, 0
    while match := NAME.search(code, position):
        position = match.end()
        line_begin = code.rfind("\n", 0, match.start()) + 1
        is_directive = code[line_begin:position].lstrip().startswith("#")
        if match[1] in NO_FUNCTION or is_directive:
            continue
        end = matching(code, match.end() - 1)
        body = body_after(code, end)
        if body is None:
            continue
        close = matching(code, body)
        arguments = [a for a in split_arguments(code[match.end():end - 1]) if a.strip()]
        yield (source.line_of(match.start()), match[1], len(arguments),
               code.count("\n", match.start(), close) + 1)
        position = close


def check(sources: list[Source]) -> tuple[list[str], str]:
    complaints, count = [], 0
    for source in sources:
        if not source.is_cpp:
            continue
        longest = HOST_LINES
        if source.path.startswith("kernels/") or source.path.endswith(".cuh"):
            longest = DEVICE_LINES
        elif source.path.startswith("tests/"):
            longest = TEST_LINES
        for line, name, parameters, lines in functions(source):
            count += 1
            if lines > longest:
                complaints.append(f"{source.path}:{line}: {name} has {lines} lines, "
                                  f"at most {longest}")
            if parameters > PARAMETERS:
                complaints.append(f"{source.path}:{line}: {name} takes {parameters} parameters, "
                                  f"at most {PARAMETERS}; pass a struct")
    return complaints, f"{count} functions"


if __name__ == "__main__":
    sys.exit(run_lint("check_functions", check))

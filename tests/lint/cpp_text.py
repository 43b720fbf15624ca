# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Brackets and arguments in C++ text whose comments and literals are masked (Source.code)."""

OPEN, CLOSE = "([{", ")]}"


def matching(code: str, start: int) -> int:
    """One past the bracket that closes the one at `start`; the end of the text if none does."""
    depth = 0
    for position in range(start, len(code)):
        if code[position] in OPEN:
            depth += 1
        elif code[position] in CLOSE:
            depth -= 1
            if depth == 0:
                return position + 1
    return len(code)


def split_arguments(code: str) -> list[str]:
    """The text between two brackets, cut at its own commas: those in no bracket and in no template
    argument list."""
    parts, depth, angles, begin = [], 0, 0, 0
    for position, character in enumerate(code):
        if character in OPEN:
            depth += 1
        elif character in CLOSE:
            depth -= 1
        elif character == "<" and depth == 0 and code[position - 1:position] not in (" ", "<"):
            angles += 1
        elif character == ">" and depth == 0 and code[position - 1:position] not in (" ", "-"):
            angles = max(0, angles - 1)
        elif character == "," and depth == 0 and angles == 0:
            parts.append(code[begin:position])
            begin = position + 1
    return parts + [code[begin:]]

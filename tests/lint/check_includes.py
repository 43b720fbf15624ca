#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Checks how headers are included: check_includes.py [root].

#pragma once in each header, our own headers as "gantry/..." and found, others in angle brackets, no
"..", no source file and no header twice, and no .hpp that needs nvcc through a .cuh. Headers of
include/ include themselves what they name of the standard library and of Eigen: those headers come
to tests/headers from a precompiled one.
"""
import re
import sys

from source_tree import Include, Source, run_lint

AS_A_USER = ("examples/", "tests/packaging/")  # where <gantry/...> reads as it does elsewhere

# Names, without their "std::", and the headers of which one must be included for them.
STANDARD = {
    ("algorithm",): "ranges::(copy|fill|find|find_if|sort|stable_sort|max_element|min_element|"
                    "any_of|all_of|none_of|count|count_if|transform|equal|for_each|reverse)|"
                    "min|max|clamp|copy_n|fill_n|nth_element",
    ("array",): "array|to_array",
    ("atomic",): "atomic|atomic_ref|memory_order_[a-z_]+",
    ("bit",): "bit_cast|bit_width|popcount|endian|countr_zero|countl_zero|has_single_bit",
    ("charconv",): "from_chars|to_chars",
    ("chrono",): "chrono",
    ("cmath",): "sqrt|exp|log|log1p|expm1|tanh|pow|isnan|isfinite|isinf|fma|floor|ceil|cos|sin|"
                "lround|round|trunc|hypot",
    ("concepts",): "same_as|convertible_to|integral|floating_point|invocable|derived_from",
    ("condition_variable",): "condition_variable",
    ("cstddef", "cstdio", "cstring", "cstdlib"): "size_t",
    ("cstddef",): "byte|ptrdiff_t|max_align_t",
    ("cstdint",): "u?int(8|16|32|64)_t|uintptr_t",
    ("cstdio",): "fprintf|printf|snprintf|FILE|fopen|fclose|fflush",
    ("cstdlib",): "getenv|abort|exit|_Exit|aligned_alloc|strtol|strtoul",
    ("cstring",): "memcpy|memset|memmove|memcmp|strcmp|strlen|strerror",
    ("ctime",): "clock|clock_t|time_t|tm|strftime",
    ("exception", "stdexcept"): "exception|exception_ptr|current_exception|rethrow_exception|"
                                "uncaught_exceptions|terminate",
    ("filesystem",): "filesystem",
    ("fstream",): "[io]?fstream",
    ("functional",): "function|plus|multiplies|less|greater|invoke|hash|reference_wrapper|ref|cref",
    ("future",): "future|promise|async|packaged_task",
    ("iterator",): "back_inserter|istreambuf_iterator|next|prev|distance",
    ("limits",): "numeric_limits",
    ("map",): "map|multimap",
    ("memory",): "unique_ptr|shared_ptr|weak_ptr|make_unique|make_shared|construct_at",
    ("mutex", "shared_mutex"): "mutex|lock_guard|unique_lock|scoped_lock|once_flag|call_once",
    ("new",): "bad_alloc|align_val_t|nothrow",
    ("numbers",): "numbers",
    ("numeric",): "accumulate|iota|reduce|inner_product|partial_sum|gcd|lcm",
    ("optional",): "optional|nullopt",
    ("random",): "mt19937(_64)?|normal_distribution|uniform_[a-z]+_distribution|random_device",
    ("span",): "span|as_bytes|as_writable_bytes",
    ("sstream",): "[io]?stringstream",
    ("stdexcept", "exception"): "runtime_error|logic_error|invalid_argument|out_of_range",
    ("string",): "string|to_string|stoi|stoul|stod|getline",
    ("string_view", "string"): "string_view",
    ("system_error",): "error_code|system_error|system_category|generic_category",
    ("thread",): "thread|this_thread|jthread",
    ("tuple",): "tuple|tie|make_tuple|apply|forward_as_tuple|tuple_size_v|tuple_element_t",
    ("type_traits", "concepts"): "is_[a-z_]+_v|conditional_t|remove_[a-z_]+_t|decay_t|"
                                 "integral_constant|true_type|false_type|bool_constant",
    ("unordered_map",): "unordered_map",
    ("unordered_set",): "unordered_set",
    ("utility",): "move|forward|pair|swap|exchange|index_sequence|make_index_sequence|declval|"
                  "integer_sequence|make_pair|cmp_[a-z_]+|in_range",
    ("variant",): "variant|visit|monostate|get_if|holds_alternative",
    ("vector",): "vector",
}
STANDARD_NAMES = {of: re.compile(rf"\bstd::({names})\b") for of, names in STANDARD.items()}
EIGEN = re.compile(r"\bEigen::")
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


def missing_standard(source: Source) -> list[str]:
    """What a header of the library names of others' libraries without including it."""
    if not source.path.startswith("include/") or not source.path.endswith(".hpp"):
        return []
    here = {include.name for include in source.includes}
    found = []
    for headers, names in STANDARD_NAMES.items():
        match = names.search(source.code)
        if match and not here.intersection(headers):
            found.append(f"{source.path}:{source.line_of(match.start())}: {match.group()} needs "
                         f"#include <{headers[0]}>")
    match = EIGEN.search(source.code)
    if match and not any(name.startswith("Eigen/") for name in here):
        found.append(f"{source.path}:{source.line_of(match.start())}: Eigen:: needs "
                     "#include <Eigen/Core>")
    return found


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
        complaints += missing_standard(source)
        if source.is_header:
            first = FIRST_DIRECTIVE.search(source.code)
            if not first or first.group().split() != ["#pragma", "once"]:
                complaints.append(f"{source.path}:1: a header begins with #pragma once")
    return complaints, f"{sum(len(s.includes) for s in cpp)} includes"


if __name__ == "__main__":
    sys.exit(run_lint("check_includes", check))

#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Refuses an #include that points upwards or sideways: check_layers.py [root].

A room is a folder under include/gantry. A file may include its own room and rooms of a lower floor.
"""
import re
import sys

from source_tree import Source, run_lint

FLOORS = (
    ("base",),
    ("tensor",),
    ("ops",),
    ("concepts",),
    ("backend/reference", "backend/cpu", "backend/cuda", "nn", "loss", "optim", "data", "metrics",
     "comm", "dist", "io"),
    ("models", "train"),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
TOP = len(FLOORS)  # the umbrellas, and below them examples, benchmarks and tests
UMBRELLAS = ("gantry.hpp", "cuda.cuh")
VERSIONED = "namespace gantry::inline v0"
KERNEL_MAY_SEE = ("base", "tensor", "ops")

# A third party's header: the only places of include/ and kernels/ that may include it.
THIRD_PARTY = (
    (re.compile(r"mpi(-ext)?\.h$"), ("include/gantry/comm/mpi",)),
    (re.compile(r"nccl\.h$"), ("include/gantry/comm/nccl",)),
    (re.compile(r"png\.h$"), ("include/gantry/io/png_decoder.hpp",)),
    (re.compile(r"j(peglib|error)\.h$"), ("include/gantry/io/jpeg_decoder.hpp",)),
    (re.compile(r"cuda|cu(blas|dnn|rand|fft|sparse|solver|pti)|cub/|cute/|cutlass/|thrust/|nvtx|"
                r"nvrtc|cooperative_groups|mma\.h|vector_types\.h|device_launch_parameters"),
     ("kernels/", "include/gantry/backend/cuda/", "include/gantry/comm/nccl")),
    (re.compile(r"(unsupported/)?Eigen/"), ("include/gantry/backend/cpu/",
                                            "include/gantry/metrics/")),
    (re.compile(r"zlib\.h$"), ("include/gantry/data/", "include/gantry/io/")),
)
EVERYWHERE = ("mpi.h", "mpi-ext.h", "nccl.h")  # these places alone, tests and programs included
SYSTEM = re.compile(
    r"[a-z_0-9]+$|(sys|netinet|arpa|linux)/[a-z_0-9]+\.h$|"
    r"(unistd|fcntl|dirent|dlfcn|errno|execinfo|netdb|poll|pthread|sched|semaphore|signal|termios|"
    r"time|[a-z]*intrin)\.h$")


def room_of(path: str) -> str | None:
    """The room of "gantry/..." (a path inside include/ or kernels/), "" for an umbrella, None if
    there is no such room."""
    parts = path.split("/")[1:]
    if parts[0] == "kernels" and len(parts) > 2:
        return "kernels/" + parts[1]
    if len(parts) == 1:
        return "" if parts[0] in UMBRELLAS else None
    for room in ("/".join(parts[:2]), parts[0]):
        if room in FLOOR_OF:
            return room
    return None


def may_include(here: str, there: str, name: str) -> bool:
    if there == here or here == "":
        return there == here or not there.startswith("kernels/")
    if there == "":
        return False
    if here.startswith("kernels/"):
        gemm_from_conv = there == "kernels/gemm" and "conv" in here
        return there in KERNEL_MAY_SEE or there == "kernels/common" or gemm_from_conv
    if there.startswith("kernels/"):
        return here == "backend/cuda" and name.endswith("/launch.cuh")
    return FLOOR_OF[there] < FLOOR_OF[here]


def check_own(source: Source) -> list[str]:
    """Includes between rooms, and another room's detail names."""
    root, _, inner = source.path.partition("/")
    if root not in ("include", "kernels"):
        return []
    here = room_of(inner)
    if here is None:
        return [f"{source.path}:1: {inner} lies in no room of the house; "
                "move it or add its folder to FLOORS in tests/lint/check_layers.py"]
    complaints = []
    for include in source.includes:
        if not include.name.startswith("gantry/"):
            continue
        there = room_of(include.name)
        if there is None or not may_include(here, there, include.name):
            complaints.append(f"{source.path}:{include.line}: {here or 'an umbrella'} may not "
                              f"include {include.name}")
    own_names = set(here.split("/"))
    rooms = {part for room in FLOOR_OF for part in room.split("/")}
    for match in re.finditer(r"\b(\w+)::detail::", source.code):
        if match[1] in rooms - own_names:
            complaints.append(f"{source.path}:{source.line_of(match.start())}: {match[1]}::detail "
                              f"belongs to another room than {here}")
    return complaints


def check_third_party(source: Source) -> list[str]:
    complaints = []
    is_library = source.path.startswith(("include/", "kernels/"))
    for include in source.includes:
        if include.quoted or (not is_library and include.name not in EVERYWHERE):
            continue
        for pattern, places in THIRD_PARTY:
            if pattern.match(include.name):
                if not source.path.startswith(places):
                    complaints.append(f"{source.path}:{include.line}: <{include.name}> may be "
                                      f"included only in {', '.join(places)}")
                break
        else:
            if is_library and not SYSTEM.match(include.name):
                complaints.append(f"{source.path}:{include.line}: <{include.name}> is no standard "
                                  "header; the library takes Eigen, zlib, libpng, "
                                  "libjpeg, MPI and CUDA only")
    return complaints


def check_namespace(source: Source) -> list[str]:
    """A part of the library outside the versioned inline namespace would be another gantry."""
    if not source.path.startswith(("include/", "kernels/")):
        return []
    return [f"{source.path}:{source.line_of(match.start(1))}: {match[1]} leaves out the version; "
            f"write {VERSIONED}"
            for match in re.finditer(r"^[ \t]*(namespace gantry\b[^{;]*?)\s*\{", source.code,
                                     re.MULTILINE)
            if not re.match(rf"{VERSIONED}\b", match[1])]


def check_cycles(sources: list[Source]) -> list[str]:
    """Headers that include each other: #pragma once hides it until somebody changes the order."""
    graph = {}
    for source in sources:
        root, _, inner = source.path.partition("/")
        if root in ("include", "kernels"):
            graph[inner] = [include.name for include in source.includes if include.quoted]
    complaints, done = [], set()

    def visit(name: str, trail: list[str]) -> None:
        if name in trail:
            cycle = trail[trail.index(name):] + [name]
            complaints.append(f"include cycle: {' -> '.join(cycle)}")
        elif name in graph and name not in done:
            for next_name in graph[name]:
                visit(next_name, trail + [name])
            done.add(name)

    for name in graph:
        visit(name, [])
    return complaints


def check(sources: list[Source]) -> tuple[list[str], str]:
    cpp = [source for source in sources if source.is_cpp]
    complaints = [c for source in cpp
                  for c in check_own(source) + check_third_party(source) + check_namespace(source)]
    return complaints + check_cycles(cpp), f"{sum(len(s.includes) for s in cpp)} includes"


if __name__ == "__main__":
    sys.exit(run_lint("check_layers", check))

#!/usr/bin/env bash
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# What a machine with one GPU says about Gantry, in at most ten minutes and without a network: it
# builds, tests, runs compute-sanitizer, and times the training step beside PyTorch's.
#   scripts/gpu_check.sh [--deps FOLDER] [--python PYTHON] [--out FOLDER] [--dry-run]
# FOLDER has doctest/doctest.h (or GANTRY_DEPS says where); --dry-run prints the commands.
set -euo pipefail
exec python3 -B "$(dirname "${BASH_SOURCE[0]}")/../benchmarks/cuda/gpu_check.py" "$@"

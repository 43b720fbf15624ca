#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Prints what the umbrella header costs, whatever it is: umbrella_time.py COMPILER [-I...]."""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

BUDGET_SECONDS = 5.0


def main() -> int:
    compiler, *flags = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "umbrella.cpp"
        source.write_text('#include "gantry/gantry.hpp"\n', encoding="utf-8")
        command = [compiler, "-std=c++20", *flags, "-c", str(source), "-o", f"{folder}/umbrella.o"]
        result = subprocess.run(command, check=False)
    times = os.times()  # of the processor: a busy machine does not change it much
    seconds = times.children_user + times.children_system
    print(f"gantry/gantry.hpp alone: {seconds:.1f} s (budget {BUDGET_SECONDS:.0f} s)")
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())

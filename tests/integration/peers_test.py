#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""benchmarks/peer: programs take turns and do the same work, and one that is missing is a row that
says so. Nothing is asserted about time.

The environment variable GANTRY_BENCH names gantry-bench. Building with libtorch takes a minute, so
that its test runs only where GANTRY_TEST_LIBTORCH is set.
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PEERS = Path(__file__).resolve().parents[2] / "benchmarks" / "peer"
COMPARE = str(PEERS / "compare.py")
SHORT = ("--batch", "2", "--rounds", "1", "--threads", "1", "--seconds", "0.01", "--foreign",
         "100", "--set-ups", "best", "--models", "mlp28")
STEP_KEYS = {"impl", "version", "set_up", "model", "batch", "threads", "steps", "step_ms",
             "step_ms_p10", "step_ms_p90", "images_per_s"}


def python_with_torch():
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 0:
            return python
    return None


class Compare(unittest.TestCase):
    def compare(self, *words, **environment):
        """-> rows of the table, lines of all runs"""
        with tempfile.TemporaryDirectory() as folder:
            lines = Path(folder) / "lines"
            result = subprocess.run(
                [sys.executable, "-B", COMPARE, os.environ["GANTRY_BENCH"], *SHORT, "--out",
                 str(lines), *words], capture_output=True, text=True, timeout=600,
                env=os.environ | environment)
            self.assertEqual(result.returncode, 0, result.stderr)
            rows = [row for row in result.stdout.splitlines() if row.startswith("| mlp28")]
            return rows, [json.loads(line) for line in lines.read_text().splitlines()]

    def check(self, line):
        self.assertLessEqual(STEP_KEYS, set(line))
        self.assertEqual((line["model"], line["batch"], line["threads"]), ("mlp28", 2, 1))
        self.assertLessEqual(line["step_ms_p10"], line["step_ms"])
        self.assertLessEqual(line["step_ms"], line["step_ms_p90"])

    def test_missing_peers_are_rows(self):
        with tempfile.TemporaryDirectory() as nothing:
            rows, lines = self.compare("--peers", "pytorch,libtorch", "--python", "none-such",
                                       PATH=nothing)
        self.assertEqual([line["impl"] for line in lines], ["gantry"])
        self.assertEqual(len(rows), 3)
        self.assertIn("PyTorch is not installed", rows[1])
        self.assertIn("not built: it needs cmake, a C++ compiler and libtorch-dev", rows[2])

    def test_pytorch(self):
        python = python_with_torch()
        if python is None:
            self.skipTest("no Python with torch")
        rows, lines = self.compare("--peers", "pytorch", "--python", python)
        self.assertEqual([line["impl"] for line in lines], ["gantry", "pytorch"])
        self.check(lines[1])
        # compare.py refuses programs that do not the same work; this is what it looks at.
        ours, theirs = (line["gflop_per_step"] for line in lines)
        self.assertAlmostEqual(theirs / ours, 1, 6)
        self.assertEqual(len(rows), 2)

    def test_libtorch(self):
        if not os.environ.get("GANTRY_TEST_LIBTORCH"):
            self.skipTest("GANTRY_TEST_LIBTORCH is not set")
        rows, lines = self.compare("--peers", "libtorch")
        self.assertEqual([line["impl"] for line in lines], ["gantry", "libtorch"])
        self.check(lines[1])
        self.assertEqual(lines[1]["set_up"], "best")

    def test_unknown_words(self):
        for option, word in (("--peers", "jax"), ("--set-ups", "worst")):
            result = subprocess.run([sys.executable, "-B", COMPARE, "bench", option, word],
                                    capture_output=True, text=True, timeout=60)
            self.assertEqual((result.returncode, result.stdout), (2, ""))
            self.assertIn(f'{option}: expected words of ', result.stderr)
            self.assertIn(f'found "{word}"', result.stderr)


if __name__ == "__main__":
    unittest.main()

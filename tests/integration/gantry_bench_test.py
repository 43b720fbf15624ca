#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""gantry-bench prints JSON lines with the documented keys; nothing is asserted about time."""
import json
import math
import os
import subprocess
import unittest

STEP_KEYS = {"impl", "model", "kernels", "minimal_filtering", "precision", "batch", "threads",
             "steps", "step_ms", "step_ms_p10", "step_ms_p90", "images_per_s", "gflop_per_step",
             "gflops", "peak_gflops", "fraction_of_peak", "planned_bytes", "measured_bytes",
             "peak_resident_bytes", "allocations_per_step", "vector_lanes", "compiler",
             "processor"}
LAYER_KEYS = {"network", "index", "layer", "pass", "us", "us_p10", "us_p90", "gflops",
              "fraction_of_peak"}


def call(*words):
    return subprocess.run([os.environ["GANTRY_BENCH"], *words], capture_output=True, text=True,
                          timeout=240)


class Bench(unittest.TestCase):
    def lines(self, *words):
        result = call(*words)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return [json.loads(line) for line in result.stdout.splitlines()]

    def assert_finite(self, line):
        for key, value in line.items():
            if isinstance(value, (int, float)):
                self.assertTrue(math.isfinite(value), key)

    def test_step(self):
        for kernels in ("own", "eigen"):
            line, = self.lines("step", "--model", "mlp28", "--batch", "4", "--steps", "2",
                               "--warmup", "1", "--kernels", kernels)
            self.assertEqual(set(line), STEP_KEYS)
            self.assert_finite(line)
            self.assertEqual((line["batch"], line["steps"], line["kernels"]), (4, 2, kernels))
            self.assertGreater(line["step_ms"], 0)
            self.assertEqual(line["planned_bytes"], line["measured_bytes"])

    def test_useful_work(self):
        """2 x the multiplications of the textbook step at batch 64, as counted by hand."""
        for model, gflop in (("mlp28", 0.845), ("dcgan28", 9.441), ("dcgan32", 24.64)):
            line, = self.lines("step", "--model", model, "--batch", "2", "--steps", "1",
                               "--warmup", "0")
            self.assertAlmostEqual(line["gflop_per_step"] * 32, gflop, delta=0.002 * gflop)

    def test_layers(self):
        lines = self.lines("layers", "--model", "dcgan28", "--batch", "2", "--steps", "1")
        for line in lines:
            self.assertLessEqual(LAYER_KEYS, set(line))
            self.assert_finite(line)
        passes = {(line["network"], line["layer"], line["pass"]) for line in lines}
        self.assertIn(("discriminator", "conv2d", "weight gradient"), passes)
        self.assertIn(("generator", "conv_transpose2d", "input gradient"), passes)

    def test_strategy(self):
        line, = self.lines("strategy", "--model", "mlp28", "--batch", "2", "--steps", "1",
                           "--workers", "2", "--threads", "2")
        self.assert_finite(line)
        self.assertEqual((line["strategy"], line["workers"]), ("md_gan", 2))
        self.assertGreater(line["throughput_of_flat"], 0)

    def test_refusals(self):
        for words, expected in ((["step", "--model", "none-such"], "mlp28, "),
                                (["step", "--device", "abacus"], "expected one of cpu"),
                                (["step", "--batch", "0"], "--batch"), ([], "subcommand")):
            result = call(*words)
            self.assertEqual((result.returncode, result.stdout), (2, ""))
            self.assertIn(expected, result.stderr)
            self.assertEqual(result.stderr.count("\n"), 1)


if __name__ == "__main__":
    unittest.main()

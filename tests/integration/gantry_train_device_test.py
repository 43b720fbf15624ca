#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""--device, --precision and --kernels of a program without a GPU, or without CUDA: one sentence,
exit code 2, nothing written."""
import json
import unittest

from gantry_train_support import ProgramTest


class Device(ProgramTest):
    def test_cuda_is_refused_in_one_sentence(self):
        outdir = self.folder / "refused"
        result = self.run_program(device="cuda", outdir=outdir, quiet=True)
        if result.returncode == 0:
            self.skipTest("this machine has a GPU that the program uses")
        self.assert_refused(result, 2, "--device cuda was expected with", "--device cpu")
        self.assertFalse(outdir.exists())

    def test_auto_falls_back(self):
        result = self.run_program(device="auto", augment="flip", augment_probability="0.5",
                                  dry_run=True)
        self.assertEqual(json.loads(result.stdout)["device"], "cpu", result.stderr)

    def test_what_belongs_to_cuda(self):
        for flag, value in (("precision", "bf16"), ("kernels", "vendor")):
            with self.subTest(flag):
                result = self.run_program(**{flag: value}, quiet=True)
                self.assert_refused(result, 2, f"--{flag} {value} was expected with --device cuda")


if __name__ == "__main__":
    unittest.main()

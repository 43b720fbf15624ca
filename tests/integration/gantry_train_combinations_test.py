#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Flags of strategies, messages and augmentations that do not go together are refused."""
import unittest

from gantry_train_support import ProgramTest


class Combinations(ProgramTest):
    def test_impossible_combinations(self):
        averaging = ("--strategy", "federated_average")
        for words, fragments in (
                (("--local-epochs", "1", "--local-updates", "3"), ("--local-updates",)),
                (("--wrong-workers", "1"), ("--wrong-workers", "mean")),
                (("--staleness-alpha", "0.5"), ("--staleness-alpha", "none")),
                (("--staleness", "hinge", "--weights", "size"), ("--weights", "hinge")),
                (("--participation", "all", "--fraction", "0.5"), ("--fraction", "all")),
                (("--weak-workers", "9"), ("weak workers",)),
                (("--participation", "random"), ("--participation random", "--fraction")),
                (("--weights", "size", "--aggregation", "median"), ("--weights", "mean")),
                (("--staleness", "constant", "--average-moments"), ("let moments stay",)),
                (("--filter", "top-k"), ("top-k", "md_gan", "federated_average")),
                (("--filter", "int8", "--error-feedback"), ("--error-feedback", "md_gan")),
                (("--filter", "int8", "--average-moments"), ("--average-moments", "bf16")),
                (("--noise", "1", "--noise-seed", "1"), ("--noise", "federated_average")),
                (("--aggregation", "krum", "--wrong-workers", "2"), ("fewer workers",))):
            with self.subTest(words):
                self.assert_refused(self.call(*averaging, *words), 2, *fragments)
        for words, fragments in (
                (("--noise", "1"), ("--noise-seed", "secret")),
                (("--keep", "0.1", "--filter", "int8"), ("--keep", "top-k")),
                (("--augment-probability", "0.5"), ("--augment-probability", "--augment")),
                (("--augment", "colour"), ("--augment", "'colour'")),
                (("--augment", "flip", "--augment-probability", "2"), ("ada", '"2"')),
                (("--swap", "ring", "--swap-every", "never"), ("--swap", "never")),
                (("--aggregation", "krum", "--wrong-workers", "1", "--dry-run"), ("krum", "5"))):
            with self.subTest(words):
                self.assert_refused(self.call(*words), 2, *fragments)
        result = self.call("--strategy", "averaged_discriminator", "--weights", "kl-exp")
        self.assert_refused(result, 2, "--weights", "kl-exp")


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""gantry-train --grid-every epoch: a sample grid after each pass over the shards of all workers."""
import unittest

from gantry_train_support import SCORES, TRAIN, ProgramTest, lines


class Epochs(ProgramTest):
    """600 images; batches of 60 for two workers are an epoch in five iterations."""

    def grids(self, outdir, **given):
        self.train(outdir=outdir, grid_every="epoch", **{"batch": TRAIN // 10, **given})
        return sorted(int(path.stem[5:]) for path in outdir.glob("fakes[0-9]*.png"))

    def test_grids_and_scores(self):
        outdir = self.folder / "scored"
        self.assertEqual(self.grids(outdir, iterations=12, metrics="fid", metric_samples=16),
                         [5, 10, 12])
        self.assertEqual([line["iteration"] for line in lines(outdir / SCORES)], [0, 5, 10, 12])

    def test_strategies(self):
        # A worker sits out every round, so that a pass takes twice as long.
        self.assertEqual(self.grids(self.folder / "half", iterations=12,
                                    strategy="averaged_discriminator", scheduling="round-robin",
                                    fraction=0.5), [10, 12])
        # A round of two passes has one grid.
        self.assertEqual(self.grids(self.folder / "long", iterations=3, batch=TRAIN // 4,
                                    strategy="federated_average", local_epochs=2), [1, 2, 3])
        self.assertEqual(self.grids(self.folder / "alone", iterations=12, strategy="standalone"),
                         [10, 12])

    def test_more_workers_see_more(self):
        # Three quarters of a pass, one and a half, two and a quarter, three.
        self.assertEqual(self.grids(self.folder / "between", iterations=4, workers=3,
                                    batch=TRAIN // 4), [2, 3, 4])

    def test_resume(self):
        outdir = self.folder / "resumed"
        self.assertEqual(self.grids(outdir, iterations=7), [5, 7])
        self.assertEqual(self.grids(outdir, iterations=12, resume="latest"), [5, 7, 10, 12])

    def test_refusals(self):
        for text in ("epochs", "-1", "1.5", ""):
            result = self.run_program(outdir=self.folder / "none", grid_every=text, quiet=True)
            self.assert_refused(result, 2, "--grid-every", f'"{text}"')
        self.assertFalse((self.folder / "none").exists())


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""gantry-train --sample N --from DIR draws images from a checkpoint without training."""
import unittest

from gantry_train_support import (MODEL, SIDE, ProgramTest, checkpoint, models, names, read_png,
                                  snapshot)


class Sample(ProgramTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.whole = cls.folder / "whole"
        result = cls.run_program(iterations=4, save_every=2, grid_every=2, seed=3,
                                 outdir=cls.whole)
        assert result.returncode == 0, result.stderr

    def draw(self, count, source, code=0, **given):
        outdir = self.folder / "samples"
        words = {"sample": count, "from": source, "outdir": outdir, **given}
        result = self.call(*(str(x) for key, value in words.items()
                             for x in (f"--{key}", value) if value is not None))
        if code == 0:
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertEqual(names(outdir), {"samples.png"})
            self.assertIn(str(outdir / "samples.png"), result.stdout)
            return (outdir / "samples.png").read_bytes()
        return result

    def test_same_seed_draws_what_the_run_showed(self):
        before = snapshot(self.whole)
        self.assertEqual(self.draw(64, self.whole, seed=3),
                         (self.whole / "fakes000004.png").read_bytes())
        self.assertEqual(self.draw(64, checkpoint(self.whole, 2), seed=3),
                         (self.whole / "fakes000002.png").read_bytes())
        self.assertNotEqual(self.draw(64, self.whole, seed=4),
                            (self.whole / "fakes000004.png").read_bytes())
        self.assertEqual(snapshot(self.whole), before)

    def test_number_and_threads(self):
        for count, columns, rows in ((1, 1, 1), (7, 3, 3), (150, 13, 12)):
            with self.subTest(count):
                one = self.draw(count, self.whole, threads=1)
                self.assertEqual(read_png(self.folder / "samples" / "samples.png"),
                                 (columns * (SIDE + 2) + 2, rows * (SIDE + 2) + 2, 1))
                self.assertEqual(self.draw(count, self.whole, threads=2), one)

    def test_refusals(self):
        none = self.folder / "none"
        self.assert_refused(self.draw(4, none, code=3), 3, str(none), "found none")
        self.assert_refused(self.draw(0, self.whole, code=2), 2, "--sample", "from 1")
        self.assert_refused(self.call("--sample", "4"), 2, "--sample", "--from")
        self.assert_refused(self.call("--from", str(self.whole)), 2, "--from", "--sample")
        self.assert_refused(self.draw(4, self.whole, code=2, resume="latest"), 2, "--sample",
                            "--resume")
        others = [name for name in models() if name != MODEL]
        if others:
            self.assert_refused(self.draw(4, self.whole, code=3, model=others[0]), 3,
                                f'model = "{others[0]}"', f'made with "{MODEL}"')

    def test_damaged_checkpoint(self):
        path = checkpoint(self.whole, 4) / "generator_ema.safetensors"
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        self.addCleanup(path.write_bytes, whole)
        self.assert_refused(self.draw(4, self.whole, code=3), 3, str(path), "SHA-256", "damaged")


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""gantry-train on colour images: CIFAR files from reading to scores, pictures and a resume."""
import json
import math
import unittest
from pathlib import Path

from gantry_train_support import (LOG, SCORES, ProgramTest, checkpoint, figures, lines,
                                  manifest_hash, models, names, read_png, write_cifar10,
                                  write_cifar100)


@unittest.skipUnless("dcgan32" in models(),
                     "this build of gantry-train has no dcgan32; add it to GANTRY_PRESETS")
class Colour(ProgramTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cifar = write_cifar10(cls.folder / "cifar", train=(120, 80), test=100)
        cls.given = {"data": "cifar10", "data_dir": cls.cifar, "model": "dcgan32", "workers": 2,
                     "batch": 4, "metrics": "fid", "metric_samples": 40, "grid_every": 2}
        cls.whole = cls.folder / "whole"
        cls.result = cls.run_program(**cls.given, iterations=4, outdir=cls.whole)
        assert cls.result.returncode == 0, cls.result.stderr

    def test_files(self):
        self.assertEqual(names(self.whole), {
            "reals.png", "fakes_init.png", "fakes000002.png", "fakes000004.png", LOG, SCORES,
            "config.toml", "report.html", "network-snapshot-000004/", "events",
            *(f"phases-{rank}.jsonl" for rank in range(3))})
        for path in self.whole.glob("*.png"):
            self.assertEqual(read_png(path), (8 * 34 + 2, 8 * 34 + 2, 3), path.name)
        config = json.loads((checkpoint(self.whole, 4) / "config.json").read_text())
        self.assertEqual((config["data"], config["model"]), ("cifar10", "dcgan32"))
        self.assertIn("MD-GAN (Hardy et al.) on cifar10", (self.whole / "report.html").read_text())

    def test_says_what_it_read(self):
        printed = self.result.stdout.splitlines()
        self.assertRegex(printed[1], "^data: CIFAR-10 train, 200 images of 32 x 32 x 3, SHA-256 "
                         "[0-9a-f]{12}, from .*/data_batch_1.bin, .*/data_batch_4.bin.gz$")
        self.assertRegex(printed[2], "^data: CIFAR-10 test, 100 images .*/test_batch.bin$")

    def test_scores(self):
        scores = lines(self.whole / SCORES)
        self.assertEqual([line["iteration"] for line in scores], [0, 2, 4])
        for line in scores:
            self.assertTrue(math.isfinite(line["fid"]) and line["fid"] >= 0)
            self.assertTrue(1 <= line["classifier_score"] <= 10)
            self.assertEqual((line["generated"], line["reference"]), (40, 100))
            self.assertEqual(line["feature_network"], "gantry-classifier-cifar-10")
            self.assertRegex(line["feature_sha256"], "^[0-9a-f]{64}$")
        self.assertIn("gantry-classifier-cifar-10.safetensors", names(self.cifar))

    def assert_resumes(self, outdir: Path) -> None:
        self.train(**self.given, iterations=2, outdir=outdir)
        result = self.train(**self.given, iterations=4, outdir=outdir, resume="latest")
        self.assertIn("using the trained classifier", result.stderr)
        self.assertEqual(manifest_hash(outdir, 4), manifest_hash(self.whole, 4))
        for log in (LOG, SCORES):
            self.assertEqual(figures(lines(outdir / log)), figures(lines(self.whole / log)), log)

    def test_resume_gives_the_same_bits(self):
        self.assert_resumes(self.folder / "halves")

    def test_100_classes(self):
        data = write_cifar100(self.folder / "cifar-100", train=200, test=50)
        outdir = self.folder / "hundred"
        self.train(**{**self.given, "data": "cifar100", "data_dir": data}, iterations=2,
                   outdir=outdir)
        scores = lines(outdir / SCORES)
        self.assertEqual([line["iteration"] for line in scores], [0, 2])
        for line in scores:
            self.assertTrue(math.isfinite(line["fid"]))
            self.assertTrue(1 <= line["classifier_score"] <= 100)
            self.assertEqual(line["feature_network"], "gantry-classifier-cifar-100")

    def test_damaged_and_missing_files(self):
        data = write_cifar10(self.folder / "damaged", train=(5,), test=5)
        path = data / "data_batch_1.bin"
        path.write_bytes(path.read_bytes()[:-1])
        given = {**self.given, "data_dir": data, "outdir": self.folder / "run", "quiet": True}
        self.assert_refused(self.run_program(**given), 3, str(path), "records of 3073 bytes",
                            "4 of them and 3072 bytes more")
        path.unlink()
        self.assert_refused(self.run_program(**given), 3, str(data), "data_batch_1.bin")
        self.assert_refused(self.run_program(**{**given, "data_dir": None}), 2, "CIFAR-10",
                            "directory")
        self.assertFalse((self.folder / "run").exists())


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""gantry-metrics scores a generator of gantry-train, or images, against a data set.

The environment variables GANTRY_TRAIN and GANTRY_METRICS name the programs. The published figures
of ResNet-20 are asked for where GANTRY_CIFAR10_DIR names a folder with data_batch_1.bin and
test_batch_first1000.bin (the first 1000 images of the test set) and GANTRY_RESNET20 the weights.
"""
import json
import os
import shutil
import struct
import subprocess
import unittest
from pathlib import Path

from gantry_train_support import (PATIENCE, SCORES, SIDE, TEST, ProgramTest, checkpoint, images,
                                  lines)

METRICS = os.environ.get("GANTRY_METRICS", "")
SAMPLES = 80


def write_npy(path: Path, shape: tuple[int, ...], pixels: bytes) -> Path:
    """uint8 numbers as numpy.save writes them."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
                     + pixels)
    return path


class Metrics(ProgramTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        assert Path(METRICS).is_file(), f"GANTRY_METRICS names no program: '{METRICS}'"
        cls.run_folder = cls.folder / "run"
        result = cls.run_program(iterations=3, outdir=cls.run_folder, metrics="fid", seed=5, ema=0,
                                 metric_samples=SAMPLES, scores="fid,is,kid,prdc", quiet=True)
        assert result.returncode == 0, result.stderr
        cls.fashion = ("--data", "fashion-mnist", "--data-dir", cls.data)
        cls.usual = ("--run", cls.run_folder, *cls.fashion, "--samples", SAMPLES, "--seed", 5)

    def metrics(self, *words, **variables) -> subprocess.CompletedProcess:
        return subprocess.run([METRICS, *map(str, words)], env={**self.environment, **variables},
                              capture_output=True, text=True, timeout=PATIENCE)

    def score(self, *words, **variables) -> tuple[dict, subprocess.CompletedProcess]:
        path = self.folder / "scores.json"
        path.unlink(missing_ok=True)
        result = self.metrics(*words, "--json", path, **variables)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(path.read_text()), result

    def refused(self, code, words, *fragments):
        result = self.metrics(*words, "--quiet")
        self.assert_refused(result, code, *fragments, program="gantry-metrics")

    def test_a_checkpoint_has_the_figures_of_its_run(self):
        logged = lines(self.run_folder / SCORES)[-1]
        for source in (self.run_folder, checkpoint(self.run_folder, 3)):
            found, result = self.score("--checkpoint", source, *self.usual[2:])
            figures = found["metrics"]
            for key, value in (("fid", figures["fid"]), ("kid", figures["kid"]["mean"]),
                               ("classifier_score", figures["is"]["mean"]),
                               *((k, figures[k]) for k in ("precision", "recall", "density",
                                                           "coverage"))):
                # Batches of another size may round differently, and a pair change sides.
                counted = key in ("precision", "recall", "density", "coverage")
                self.assertAlmostEqual(value, logged[key], msg=key,
                                       delta=1e-4 * abs(value) + counted * 2 / SAMPLES)
            self.assertEqual((found["samples"], found["reference"]), (SAMPLES, TEST))
            self.assertEqual(found["feature_sha256"], logged["feature_sha256"])
            self.assertEqual((found["kid_size"], found["is_splits"]), (SAMPLES, 1))
            for word in ("FID", "KID", "IS", "precision", "recall", "density", "coverage"):
                self.assertRegex(result.stdout, rf"(?m)^{word} +-?[0-9]")
        self.assertIn("Kernel distance", (self.run_folder / "report.html").read_text())

    def test_images_against_themselves_and_the_cache(self):
        pixels, _ = images(TEST, 2)  # the test set
        file = write_npy(self.folder / "test.npy", (TEST, SIDE, SIDE, 1), pixels)
        cache = self.folder / "kept"
        words = ("--images", file, *self.fashion, "--cache", cache)
        first, result = self.score(*words, GANTRY_METRICS="none", GANTRY_SPLIT="dirichlet:0.5")
        self.assertIn("kept the reference features", result.stderr)
        figures = first["metrics"]
        self.assertAlmostEqual(figures["fid"], 0, delta=1e-6)
        self.assertLess(figures["kid"]["mean"], 0)  # an image beside itself counts in one mean
        for key in ("precision", "recall", "density", "coverage"):
            self.assertEqual(figures[key], 1, key)

        again, result = self.score(*words)
        self.assertIn("using the reference features", result.stderr)
        self.assertEqual(again["metrics"], figures)
        (kept,) = cache.iterdir()
        whole = kept.read_bytes()
        for spoilt, why in ((whole[:-1] + bytes([whole[-1] ^ 1]), "SHA-256"),
                            (whole[:-5], "not a valid safetensors file"),
                            (whole.replace(first["feature_sha256"].encode(), b"0" * 64),
                             "network_sha256"),
                            (whole.replace(first["data_sha256"].encode(), b"0" * 64),
                             "data_sha256")):
            self.assertNotEqual(spoilt, whole)
            kept.write_bytes(spoilt)
            again, result = self.score(*words)
            self.assertIn(why, result.stderr)
            self.assertEqual(again["metrics"], figures)
            self.assertEqual(kept.read_bytes(), whole)
        _, result = self.score(*words[:-1], "none", "--metrics", "fid")
        self.assertNotIn("reference features", result.stderr)

    def test_own_images_have_the_figures_of_their_run(self):
        pixels, _ = images(60, 3)
        file = write_npy(self.folder / "own.npy", (60, SIDE, SIDE, 1), pixels)
        run = self.folder / "own run"
        self.train(iterations=3, outdir=run, data=file, data_dir=None, metrics="fid",
                   metric_samples=SAMPLES, seed=5, quiet=True)
        logged = lines(run / SCORES)[-1]
        found, result = self.score("--run", run, "--data", file, "--samples", SAMPLES, "--seed", 5)
        self.assertEqual(logged["feature_network"], "gantry-classifier-untrained")
        self.assertEqual(found["feature_sha256"], logged["feature_sha256"])
        self.assertAlmostEqual(found["metrics"]["fid"], logged["fid"], delta=1e-4 * logged["fid"])
        self.assertNotIn("is", found["metrics"])  # no classes
        self.assertIn("precision", result.stdout)
        found, _ = self.score("--images", file, "--data", file, "--metrics", "fid")
        self.assertAlmostEqual(found["metrics"]["fid"], 0, delta=1e-6)

    def test_shares_of_workers_merge_exactly(self):
        words = ("--run", self.run_folder, *self.fashion, "--samples", 700, "--split", "train",
                 "--is-splits", 4)
        whole, result = self.score(*words, "--cache", "none")
        self.assertRegex(result.stdout, "(?m)^IS .* 4 parts, ")
        self.assertEqual(set(whole["metrics"]), {"fid", "kid", "is", "precision", "recall",
                                                 "density", "coverage"})
        for more in (("--workers", 2), ("--workers", 5, "--threads", 1)):
            shared, _ = self.score(*words, *more, "--cache", "none")
            self.assertEqual(shared["metrics"], whole["metrics"], more)
        cache = self.folder / "shared"
        for used in ("kept", "using"):
            shared, result = self.score(*words, "--cache", cache, "--workers", 3)
            self.assertIn(f"{used} the reference features", result.stderr)
            self.assertEqual(shared["metrics"], whole["metrics"])
        pairs = self.folder / "pairs_shared"
        self.train(iterations=1, outdir=pairs, strategy="label_parallel", workers=3, quiet=True)
        words = ("--run", pairs, *self.fashion, "--samples", 300, "--metrics", "tstr")
        self.assertEqual(self.score(*words, "--workers", 2)[0]["metrics"],
                         self.score(*words)[0]["metrics"])

    def test_shares_of_mpi_processes_merge_exactly(self):
        if not shutil.which("mpirun") or "mpi}" not in self.metrics("--help").stdout:
            self.skipTest("this build of gantry-metrics has no MPI, or mpirun is missing")
        words = ("--run", self.run_folder, *self.fashion, "--samples", 700, "--split", "train")
        whole, _ = self.score(*words, "--cache", "none")
        environment = {**self.environment, "OMPI_ALLOW_RUN_AS_ROOT": "1",
                       "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                       "OMPI_MCA_rmaps_base_oversubscribe": "1"}

        def job(*more) -> subprocess.CompletedProcess:
            return subprocess.run(
                ["mpirun", "-n", "3", METRICS, "--transport", "mpi", *map(str, words),
                 *map(str, more)], env=environment, capture_output=True, text=True,
                timeout=PATIENCE)

        path = self.folder / "shared.json"
        result = job("--json", path, "--cache", "none")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(json.loads(path.read_text())["metrics"], whole["metrics"])
        self.assertEqual(result.stdout.count("FID"), 1)
        refused = job("--cache", self.folder / "shared.json")
        self.assertEqual(refused.returncode, 3, refused.stderr)
        self.refused(2, (*words, "--transport", "mpi", "--workers", 2), "--workers", "mpirun")

    def test_training_on_generated_images(self):
        pairs = self.folder / "pairs"
        self.train(iterations=1, outdir=pairs, strategy="label_parallel", workers=3, quiet=True)
        found, result = self.score("--run", pairs, *self.fashion, "--samples", 60, "--metrics",
                                   "tstr,is")
        self.assertEqual(set(found["metrics"]), {"is", "tstr"})
        self.assertTrue(0 <= found["metrics"]["tstr"] <= 0.6)  # 3 of 10 classes, hardly trained
        self.assertIn("TSTR", result.stdout)

    def test_refusals(self):
        file = write_npy(self.folder / "few.npy", (3, SIDE, SIDE, 1), bytes(3 * SIDE * SIDE))
        self.refused(2, self.usual[2:], "one of --run, --checkpoint and --images", "0 found")
        self.refused(2, (*self.usual, "--images", file), "2 found")
        self.refused(2, (*self.usual, "--metrics", "fid,ssim"), "ssim")
        self.refused(2, (*self.usual, "--metrics", "tstr"), "--metrics tstr", "labels")
        self.refused(2, ("--images", file, *self.fashion, "--metrics", "tstr"), "tstr", "--run")
        self.refused(2, ("--images", file, "--data", file, "--features", "lenet"),
                     "--features lenet", "3 images in 0")
        self.refused(2, ("--images", file, *self.fashion, "--features", "vgg:x"), "vgg:x")
        self.refused(2, ("--images", file, *self.fashion, "--metrics", "prdc"), "at least 6", "3")
        self.refused(3, ("--images", file, *self.fashion, "--samples", 4), "--samples", "4 of 3")
        self.refused(3, ("--images", self.folder / "none.npy", *self.fashion), "none.npy")
        self.refused(3, ("--run", self.folder / "none", *self.fashion), "none")
        self.refused(3, ("--images", file, *self.fashion, "--features", f"resnet20:{file}"),
                     "few.npy", "safetensors")
        target = self.folder / "unwritten.json"
        self.refused(2, ("--images", file, *self.fashion, "--metrics", "prdc", "--json",
                         target), "at least 6")
        self.assertFalse(target.exists())

    def test_published_figures_of_resnet20(self):
        folder, weights = (Path(os.environ.get(name) or "missing")
                           for name in ("GANTRY_CIFAR10_DIR", "GANTRY_RESNET20"))
        a, t = folder / "data_batch_1.bin", folder / "test_batch_first1000.bin"
        if not (a.is_file() and t.is_file() and weights.is_file()):
            self.skipTest("GANTRY_CIFAR10_DIR or GANTRY_RESNET20 is not set")
        words = ("--data", t, "--features", f"resnet20:{weights}", "--cache", "none")
        found, _ = self.score("--images", a, *words, "--metrics", "fid,is")
        self.assertAlmostEqual(found["metrics"]["fid"] / 0.1661833924, 1, delta=1e-4)
        self.assertAlmostEqual(found["metrics"]["is"]["mean"] / 9.758308539, 1, delta=1e-4)
        self.assertAlmostEqual(found["metrics"]["is"]["deviation"], 0.034983669, delta=1e-4)
        found, _ = self.score("--images", a, *words, "--metrics", "kid,prdc", "--samples", 1000)
        self.assertAlmostEqual(found["metrics"]["kid"]["mean"], -0.0007777720, delta=1e-6)
        for key, value in (("precision", 0.863), ("recall", 0.862)):
            self.assertAlmostEqual(found["metrics"][key], value, delta=1e-4)


if __name__ == "__main__":
    unittest.main()

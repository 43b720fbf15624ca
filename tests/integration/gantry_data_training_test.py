#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""gantry-train trains on a folder of somebody's own JPEG files with one command."""
import json
import os
import random
import re
import shutil
import unittest
from pathlib import Path

from gantry_data_support import DataTest, write_pngs
from gantry_features_support import random_resnet20, write_tensors
from gantry_train_support import (LOG, SCORES, checkpoint, lines, models, names, read_png,
                                  sha256)

try:
    from PIL import Image
except ImportError:
    Image = None

MODELS = [m for m in ("mlp28", "dcgan32") if m in models()] or models()[:1]


def write_jpegs(folder: Path, classes: dict[str, int]) -> Path:
    """Bright squares on a ground whose colour tells the class, of many sizes."""
    draw = random.Random(3)
    for level, (name, count) in enumerate(classes.items()):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            width, height = draw.randint(30, 90), draw.randint(30, 90)
            picture = Image.new("RGB", (width, height), (40 + 80 * level, 60, 200 - 80 * level))
            side = draw.randint(8, 20)
            picture.paste((250, 250, draw.randint(0, 255)), (5, 5, 5 + side, 5 + side))
            picture.save(folder / name / f"photo {i:03}.jpg", quality=90)
    return folder


@unittest.skipIf(Image is None, "this Python has no module PIL; pip install pillow")
class OwnPhotos(DataTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.photos = write_jpegs(cls.folder / "photos", {"cats": 120, "dogs": 80})
        cls.skip_without_decoder(cls.photos)

    @classmethod
    def settings(cls, **given):
        """The data set and the metrics come from --data alone."""
        own = {"data": cls.photos, "data_dir": None, "metrics": None, "metric_samples": 64}
        return super().settings(**{**own, **given})

    def test_one_command(self):
        for model in MODELS:
            with self.subTest(model=model):
                outdir = self.folder / model
                first = self.train(model=model, outdir=outdir, iterations=6, save_every=3)
                self.assertRegex(first.stdout, r"data: 200 images of \d+ x \d+ x [13] in 2 "
                                 r"classes, SHA-256 [0-9a-f]{12}, from .*photos: 200 images .* "
                                 r"packed in [\d.]+ s by 2 threads \(.* waited for [\d.]+ s\).*, "
                                 r"kept as ")
                self.check_scores(outdir, 200)
                self.assertRegex(lines(outdir / SCORES)[0]["feature_network"],
                                 "^gantry-classifier-own-images-[0-9a-f]{12}$")
                self.assertIn("accuracy on 20 test images", first.stdout + first.stderr)
                self.assertLessEqual({"reals.png", "fakes_init.png", "fakes000006.png",
                                      "report.html", LOG}, names(outdir))
                self.assertEqual(len(lines(outdir / LOG)), 6)
                read_png(outdir / "reals.png")
                page = (outdir / "report.html").read_text()
                self.assertIn("200 images of ", page)
                self.assertNotIn("test data", page)
                # The second start maps what the first has kept, and is the same run.
                again = self.train(model=model, outdir=self.folder / "again", iterations=6)
                self.assertIn("of an earlier run in ", again.stdout)
                self.assertNotIn("packed in", again.stdout)
                manifests = [sha256(checkpoint(d, 6) / "generator.safetensors")
                             for d in (outdir, self.folder / "again")
                             if (checkpoint(d, 6) / "generator.safetensors").exists()]
                self.assertEqual(len(set(manifests)), min(1, len(manifests)))
                self.train(model=model, outdir=outdir, iterations=8, resume="latest")

    def check_scores(self, outdir: Path, real: int) -> None:
        """At the start and at the end, against all images, in the log and on the page."""
        scores = lines(outdir / SCORES)
        self.assertEqual([s["iteration"] for s in scores][::len(scores) - 1], [0, 6])
        for score in scores:
            self.assertGreater(score["fid"], 0)
            self.assertEqual((score["generated"], score["reference"]), (64, real))
        self.assertIn("64 generated against " + str(real) + " real images",
                      (outdir / "report.html").read_text())

    def test_scores_without_classes(self):
        photos, outdir = write_jpegs(self.folder / "unsorted", {"": 30}), self.folder / "unsorted r"
        run = {"data": photos, "outdir": outdir, "iterations": 6, "model": MODELS[0]}
        first = self.train(**run, scores="kid,prdc", keep_best=True, save_every=3)
        self.check_scores(outdir, 30)
        score = lines(outdir / SCORES)[0]
        self.assertEqual(score["feature_network"], "gantry-classifier-untrained")
        self.assertNotIn("classifier_score", score)
        self.assertLessEqual({"kid", "precision", "recall", "density", "coverage"}, score.keys())
        self.assertIn("a network with random weights", first.stdout + first.stderr)
        self.assertIn("best checkpoint", first.stdout)
        self.train(**run)  # always the same weights
        self.assertEqual(lines(outdir / SCORES)[0]["fid"], score["fid"])
        self.assert_refused(self.run_program(**run, features="lenet", quiet=True), 2,
                            "--features lenet", "30 images in 0")

    def test_scores_by_a_network_of_ones_own(self):
        weights, outdir = self.folder / "resnet20", self.folder / "by resnet"
        write_tensors(weights, random_resnet20(1))
        run = {"outdir": outdir, "iterations": 6, "features": f"resnet20:{weights}"}
        first = self.train(**run)
        self.check_scores(outdir, 200)
        self.assertIn("resnet20", lines(outdir / SCORES)[0]["feature_network"])
        self.assertGreaterEqual(lines(outdir / SCORES)[0]["classifier_score"], 1)
        self.assertIn("kept the reference features in", first.stdout + first.stderr)
        fids = [s["fid"] for s in lines(outdir / SCORES)]
        again = self.train(**run)
        self.assertIn("using the reference features", again.stdout + again.stderr)
        self.assertEqual([s["fid"] for s in lines(outdir / SCORES)], fids)
        weights.write_bytes(weights.read_bytes()[:-1])
        self.assert_refused(self.run_program(**run, quiet=True), 3, str(weights))

    def test_networks_are_of_colour_unless_given(self):
        result = self.run_program(model=None, dry_run=True, outdir=self.folder / "default")
        plan = json.loads(result.stdout)
        self.assertEqual(plan["model"], "dcgan32" if "dcgan32" in models() else models()[0])

    def test_cache_is_renewed(self):
        cache = self.folder / "cache here"
        photos = write_jpegs(self.folder / "few", {"": 12})

        def start() -> str:
            return self.train(data=photos, outdir=self.folder / "few run", data_cache=cache,
                              iterations=1).stdout

        self.assertIn("no labels", start())
        (first,) = names(cache)
        self.assertRegex(first, r"^few-[0-9a-f]{16}\.gpack$")
        self.assertIn("earlier run", start())
        packed = cache / first
        packed.write_bytes(packed.read_bytes()[:-1])  # damaged: made again
        self.assertIn("packed in", start())
        self.assertIn("earlier run", start())
        os.utime(photos / "photo 003.jpg", (1, 1))
        self.assertIn("packed in", start())
        self.assertEqual(len(names(cache)), 2)
        self.assertIn("few", first)

    def test_changed_folder_is_not_resumed(self):
        photos, outdir = write_jpegs(self.folder / "edited", {"": 12}), self.folder / "edited run"
        self.train(data=photos, outdir=outdir, iterations=2)
        shutil.copy(photos / "photo 004.jpg", photos / "photo 003.jpg")
        again = {"data": photos, "outdir": outdir, "iterations": 3, "quiet": True}
        self.assert_refused(self.run_program(**again, resume="latest"), 3, "data_sha256",
                            "resume with the settings of the run that wrote it")
        self.train(**again, overwrite=True)

    def test_packed_file(self):
        packed = self.folder / "photos.gpack"
        side, channels = (32, 3) if MODELS[0].endswith("32") else (28, 1)
        self.do("pack", self.photos, "--size", side, "--channels", channels, "--out", packed,
                "--quiet")
        result = self.train(data=packed, outdir=self.folder / "from pack", model=MODELS[0])
        self.assertIn(f"mapped {packed}", result.stdout)
        self.do("pack", self.photos, "--size", 40, "--out", packed, "--quiet")
        result = self.train(data=packed, outdir=self.folder / "from pack", model=MODELS[0])
        self.assertIn("packed in", result.stdout)

    def test_split_over_workers(self):
        outdir = self.folder / "split"
        self.train(outdir=outdir, strategy="md_gan", partition="label", workers=2)
        self.assertIn("Labels of each worker (label)", (outdir / "report.html").read_text())
        plain = write_jpegs(self.folder / "plain", {"": 9})
        self.train(data=plain, outdir=outdir, strategy="md_gan", workers=2)
        self.assertIn("Samples of each worker (iid)", (outdir / "report.html").read_text())
        self.assert_refused(self.run_program(data=plain, outdir=outdir, strategy="md_gan",
                                             partition="dirichlet:1", quiet=True),
                            2, "one label per image")

    def test_attribute_of_celeba(self):
        root = self.folder / "CelebA"
        write_jpegs(root / "img_align_celeba", {"": 12})
        pictures = [p.rename(p.with_name(p.name.replace(" ", "")))
                    for p in sorted((root / "img_align_celeba").iterdir())]
        rows = "".join(f"{p.name} {1 if i % 3 else -1} -1\n" for i, p in enumerate(pictures))
        (root / "list_attr_celeba.txt").write_text(f"{len(pictures)}\nSmiling Young\n{rows}")
        run = {"data": root, "outdir": self.folder / "faces", "iterations": 2}
        self.assertIn("no labels", self.train(**run).stdout)
        self.assertIn("in 2 classes", self.train(**run, attribute="Smiling",
                                                 overwrite=True).stdout)
        config = json.loads((checkpoint(run["outdir"], 2) / "config.json").read_text())
        self.assertIn("Smiling", json.dumps(config))
        self.assert_refused(self.run_program(**run, attribute="Similing", quiet=True), 2,
                            "Similing", "Smiling")

    def test_classes_must_fit(self):
        run = {"outdir": self.folder / "classes", "quiet": True,
               "data_cache": self.folder / "for classes"}
        self.assert_refused(self.run_program(**run, strategy="label_parallel", workers=3,
                                             critic_steps=1), 2, "has 2 classes",
                            "give --workers 2")
        self.train(**run, strategy="label_parallel", workers=2, critic_steps=1)
        if "acgan28" in models():
            self.assert_refused(self.run_program(**run, model="acgan28", overwrite=True), 2,
                                "10 classes for acgan28", "has 2 classes")

    def test_refusals(self):
        def refused(code: int, *fragments: str, **settings) -> None:
            settings = {"outdir": self.folder / "refused", "quiet": True, **settings}
            self.assert_refused(self.run_program(**settings), code, *fragments)

        bad = write_jpegs(self.folder / "bad", {"": 20})
        whole = (bad / "photo 013.jpg").read_bytes()
        for damaged in (whole[:len(whole) // 2], whole[:3], b"", b"\xff\xd8\xff" + bytes(500)):
            (bad / "photo 013.jpg").write_bytes(damaged)
            refused(3, "photo 013.jpg", data=bad)
        refused(2, "--data-dir", "leave it out", data_dir=self.data)
        refused(2, "--features", "resnet20:FILE", "found \"resnet\"", features="resnet")
        refused(2, "--features was expected with --metrics fid", features="lenet", metrics="none")
        refused(3, "no-such", features="resnet20:no-such")
        refused(2, "--data-cache", data="fashion-mnist", data_dir=self.data, metrics="none",
                data_cache=self.folder)
        refused(2, "--outdir", "outside", outdir=self.photos / "runs")
        refused(2, "--data: expected one of fashion-mnist, ", data="no-such")
        self.assertFalse((self.folder / "refused").exists())
        self.assertFalse(any(".tmp-" in n for n in names(self.folder / "cache" / "gantry")))


class OwnPngs(DataTest):
    """The same without a library in Python."""

    def test_folder_of_pngs(self):
        pngs = write_pngs(self.folder / "pngs", {"": 20})
        result = self.run_program(data=pngs, data_dir=None, metrics=None,
                                  outdir=self.folder / "run")
        if re.search("built without", result.stderr):
            self.skipTest(result.stderr.splitlines()[-1])
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("20 images of ", result.stdout)
        self.assertIn("report.html", names(self.folder / "run"))


if __name__ == "__main__":
    unittest.main()

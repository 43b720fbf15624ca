#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""What gantry-train writes and prints: files and their contents, the dry run, all its choices."""
import gzip
import hashlib
import json
import math
import re
import unittest
from html.parser import HTMLParser

from gantry_train_support import (LOG, MODEL, SCORES, SIDE, TEST, TRAIN, ProgramTest, checkpoint,
                                  lines, models, names, read_png, read_safetensors, sha256,
                                  write_data)

PHASES = {"generate", "data", "discriminator", "feedback", "generator", "exchange", "wait", "swap"}
PIXELS = SIDE * SIDE
BORDER = 2  # pixels around the images of a grid


def grid_extents(side: int, channels: int) -> tuple[int, int, int]:
    pixels = 8 * (side + BORDER) + BORDER
    return pixels, pixels, channels


class Resources(HTMLParser):
    """What a page loads: (tag, address), and the text of styles and scripts."""

    def __init__(self, text: str):
        super().__init__()
        self.addresses, self.code, self.inside = [], "", ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.inside = tag
        for key, value in attrs:
            if key in ("src", "srcset", "href", "xlink:href", "data", "action", "poster"):
                self.addresses.append((tag, value or ""))
            elif key == "style":
                self.code += value or ""

    def handle_data(self, data):
        if self.inside in ("style", "script"):
            self.code += data

    def handle_endtag(self, tag):
        self.inside = ""


class DocumentedFiles(ProgramTest):
    """One run of three workers, seen from all sides. Swaps after iterations 2, 4 and 6."""

    workers, batch, samples = 3, 4, 100

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = write_data(cls.folder / "packed", suffix=".gz")
        cls.outdir = cls.folder / "runs" / "first"
        cls.given = {"workers": cls.workers, "batch": cls.batch, "metrics": "fid",
                     "metric_samples": cls.samples, "iterations": 6, "grid_every": 3,
                     "log_every": 2, "save_every": 4, "swap_every": "2it", "outdir": cls.outdir}
        cls.result = cls.run_program(**cls.given)
        cls.plan = json.loads(cls.run_program(**cls.given, dry_run=True).stdout)

    def setUp(self):
        self.assertEqual(self.result.returncode, 0, self.result.stderr)

    def test_files(self):
        self.assertEqual(names(self.outdir), {
            "reals.png", "fakes_init.png", "fakes000003.png", "fakes000006.png", LOG, SCORES,
            "config.toml", "report.html", "network-snapshot-000004/", "network-snapshot-000006/",
            "events",
            *(f"phases-{rank}.jsonl" for rank in range(self.workers + 1))})

    def test_grids(self):
        for path in self.outdir.glob("*.png"):
            self.assertEqual(read_png(path), grid_extents(SIDE, 1), path.name)

    def test_log(self):
        log = lines(self.outdir / LOG)
        self.assertEqual([line["iteration"] for line in log], [2, 4, 6])
        packet = self.plan["discriminator_params"] * 4 * self.workers
        for i, line in enumerate(log, 1):
            one = self.batch * PIXELS * 4 * self.workers  # bytes of a batch for each worker
            self.assertEqual(line["bytes_down"], 2 * 2 * one)  # two batches, two iterations
            self.assertEqual(line["bytes_up"], 2 * one)
            self.assertEqual(line["bytes_swap"], packet if MODEL == "mlp28" else
                             self.plan["bytes_per_swap"])
            self.assertEqual(line["images"], i * 2 * self.batch * self.workers)
            self.assertEqual(line["workers"], self.workers)
            self.assertEqual(line["kimg"], line["images"] / 1000)
            self.assertGreaterEqual(line["seconds_maintenance"], 0)
            for key in ("loss_d", "loss_g", "seconds", "images_per_second", "cpu_mem_gb"):
                self.assertTrue(math.isfinite(line[key]) and line[key] > 0, (key, line))
            self.check_signals(line)
            self.assertFalse({"reg_d", "reg_g", "peak_gpu_mem_gb"} & line.keys())
            for key, needed in (("seconds_lead", {"generate", "generator", "exchange", "wait"}),
                                ("seconds_worker", {"data", "discriminator", "feedback"})):
                self.assertLessEqual(needed, line[key].keys())
                self.assertLessEqual(line[key].keys(), PHASES)
                self.assertTrue(all(value >= 0 for value in line[key].values()))
        self.assertIn("swap", log[1]["seconds_worker"])
        self.assertLess(log[0]["seconds"], log[2]["seconds"])

    def check_signals(self, line: dict) -> None:
        """What discriminators saw: a score has a sign."""
        for key in ("scores_real", "scores_fake"):
            self.assertTrue(math.isfinite(line[key]) and line[key] != 0, (key, line))
        for key in ("signs_real", "signs_fake"):
            self.assertLessEqual(abs(line[key]), 1, (key, line))
        self.assertEqual(line["augment"], 0)

    def test_signals_of_all_strategies(self):
        help_text = self.run_program(help=True).stdout
        strategies = re.search(r"--strategy TEXT:\{([^}]*)\}", help_text)[1].split(",")
        self.assertGreater(len(strategies), 5)
        for strategy in strategies:
            with self.subTest(strategy=strategy):
                workers = 10 if strategy == "label_parallel" else 2
                outdir = self.folder / strategy
                self.train(strategy=strategy, workers=workers, iterations=2, outdir=outdir)
                for line in lines(outdir / LOG):
                    self.check_signals(line)

    def test_augmentation(self):
        outdir = self.folder / "augmented"
        self.train(iterations=2, outdir=outdir, augment="translation", augment_probability=0.25)
        self.assertEqual([line["augment"] for line in lines(outdir / LOG)], [0.25, 0.25])
        self.train(iterations=9, outdir=outdir, augment="translation", augment_probability="ada")
        found = [line["augment"] for line in lines(outdir / LOG)]
        self.assertEqual(found[0], 0)  # adapted behind every fourth step
        self.assertTrue(all(0 <= p < 1e-3 for p in found), found)

    def test_phases(self):
        for rank in range(self.workers + 1):
            log = lines(self.outdir / f"phases-{rank}.jsonl")
            self.assertEqual([line["iteration"] for line in log], [1, 2, 3, 4, 5, 6])
            for line in log:
                self.assertEqual(line["rounds"], 1)
                self.assertLessEqual(line["seconds"].keys(), PHASES)
                length = line["end"] - line["begin"]
                self.assertLessEqual(sum(line["seconds"].values()), length + 1e-4)
                times = [t for _, begin, end in line["events"] for t in (begin, end)]
                self.assertEqual(times, sorted(times))
                self.assertLessEqual(times[-1], 1e6 * length + 2)
            sent = {kind for line in log for kind in line["sent"]}
            self.assertEqual(sent, {"batch", "control"} if rank == 0 else
                             {"feedback", "control", "discriminator"})
            per_line = [line["sent"].get("batch", 0) for line in log]
            if rank == 0:
                self.assertEqual(per_line, [self.plan["bytes_down_per_iteration"]] * 6)

    def test_scores(self):
        scores = lines(self.outdir / SCORES)
        self.assertEqual([line["iteration"] for line in scores], [0, 3, 6])
        for line in scores:
            self.assertTrue(math.isfinite(line["fid"]) and line["fid"] >= 0)
            self.assertTrue(1 <= line["classifier_score"] <= 10)
            self.assertEqual((line["generated"], line["reference"]), (self.samples, TEST))
            self.assertEqual(line["feature_network"], "gantry-classifier-fashion-mnist")
            self.assertRegex(line["feature_sha256"], "^[0-9a-f]{64}$")
            self.assertGreaterEqual(line["seconds_scoring"], 0)
        self.assertEqual(len({line["feature_sha256"] for line in scores}), 1)
        self.assertEqual([line["seconds"] for line in scores],
                         sorted(line["seconds"] for line in scores))

    def test_checkpoints(self):
        for iteration in (4, 6):
            folder = checkpoint(self.outdir, iteration)
            manifest = json.loads((folder / "MANIFEST.json").read_text())
            self.assertEqual(manifest["format"], "gantry-1")
            self.assertEqual(manifest["sha256"].keys() | {"MANIFEST.json"}, names(folder))
            for name, digest in manifest["sha256"].items():
                self.assertEqual(sha256(folder / name), digest, name)
            players = ["generator"] + [f"discriminator-{n}" for n in range(1, self.workers + 1)]
            expected = {f"{p}{part}.safetensors" for p in players for part in ("", "-optimizer")}
            expected |= {"generator_ema.safetensors", "config.json", "state.json"}
            self.assertEqual(manifest["sha256"].keys(), expected)
            for path in folder.glob("*.safetensors"):
                self.assertTrue(read_safetensors(path), path.name)
            state = json.loads((folder / "state.json").read_text())
            self.assertEqual(state, {"iteration": iteration, "world_size": self.workers + 1,
                                     "images": iteration * self.workers * self.batch,
                                     "live_workers": [True] * self.workers})
        if MODEL == "mlp28":
            shapes = read_safetensors(folder / "generator.safetensors").values()
            self.assertEqual(sum(math.prod(shape) for shape in shapes), 716560)

    def test_report_loads_nothing(self):
        text = (self.outdir / "report.html").read_text()
        page = Resources(text)
        for tag, address in page.addresses:
            self.assertTrue(address.startswith(("data:", "#")), (tag, address[:80]))
        self.assertNotRegex(page.code, r"@import|url\(\s*['\"]?(?!data:|#)|fetch\(|XMLHttpRequest")
        self.assertNotIn("<script src", text)
        for part in ("MD-GAN", "data:image/png;base64,", "<svg", "716560" if MODEL == "mlp28" else
                     MODEL, sha256(checkpoint(self.outdir, 6) / "MANIFEST.json")):
            self.assertIn(part, text)

    def test_prints_where_things_are(self):
        first, *rest = self.result.stdout.splitlines()
        self.assertRegex(first, f"^gantry-train: md_gan of {MODEL} on fashion-mnist, 3 workers")
        page = (self.outdir / "report.html").read_text()
        for part, count, prefix in (("train", TRAIN, "train"), ("test", TEST, "t10k")):
            found = [x for x in rest if x.startswith(f"data: Fashion-MNIST {part}, {count} images")]
            self.assertEqual(len(found), 1, rest)
            pixels, labels = (
                gzip.decompress((self.data / f"{prefix}-{name}-ubyte.gz").read_bytes())
                for name in ("images-idx3", "labels-idx1"))
            digest = hashlib.sha256(pixels[16:] + labels[8:]).hexdigest()
            self.assertIn(f"SHA-256 {digest[:12]}, from {self.data}/{prefix}-images", found[0])
            self.assertIn(found[0].removeprefix("data: "), page)
        self.assertIn(str(self.outdir / "report.html"), "\n".join(rest))
        self.assertIn(sha256(checkpoint(self.outdir, 6) / "MANIFEST.json"), "\n".join(rest))
        self.assertIn("iteration 6/6", self.result.stderr)
        self.assertNotIn("\x1b", self.result.stdout + self.result.stderr)

    def test_trained_classifier_is_used_again(self):
        outdir = self.folder / "again"
        result = self.train(**{**self.given, "outdir": outdir})
        self.assertIn("using the trained classifier", result.stderr)
        again, first = lines(outdir / SCORES), lines(self.outdir / SCORES)
        self.assertEqual([x["fid"] for x in again], [x["fid"] for x in first])


class DryRun(ProgramTest):
    def test_plan(self):
        outdir = self.folder / "nothing"
        before = names(self.folder)
        for workers, batch, k in ((1, 4, "1"), (3, 5, "2"), (8, 16, "log")):
            result = self.train(workers=workers, batch=batch, k=k, outdir=outdir, dry_run=True)
            plan = json.loads(result.stdout)
            self.assertEqual(result.stderr, "")
            resolved = {"data": "fashion-mnist", "model": MODEL, "strategy": "md_gan",
                        "workers": workers, "batch": batch, "iterations": 4, "outdir": str(outdir),
                        "threads": 2, "seed": 0, "loss": "non_saturating", "optimizer": "adam",
                        "k": {"log": 3}.get(k) or int(k), "swap": "derangement", "latent": 100,
                        "image": [SIDE, SIDE, 1]}
            self.assertEqual({key: plan[key] for key in resolved}, resolved)
            if MODEL == "mlp28":
                self.assertEqual(plan["generator_params"], 716560)
                self.assertEqual(plan["discriminator_params"], 665089)
                swapped = plan["discriminator_params"] * 4 * workers if workers > 1 else 0
                self.assertEqual(plan["bytes_per_swap"], swapped)
            self.assertEqual(plan["bytes_down_per_iteration"], 2 * batch * PIXELS * workers * 4)
            self.assertEqual(plan["bytes_up_per_iteration"], batch * PIXELS * workers * 4)
            weights = 4 * plan["generator_params"]
            self.assertGreater(plan["planned_bytes_lead"], 3 * weights)  # and two moments
            self.assertGreater(plan["planned_bytes_per_worker"], 4 * plan["discriminator_params"])
            self.assertGreater(plan["lead_flops_per_iteration"], 2 * batch * weights / 4)
            self.assertGreater(plan["worker_flops_per_iteration"], 0)
        self.assertEqual(names(self.folder), before)

    def test_settings_are_as_they_were_given(self):
        result = self.train(dry_run=True, lr_g="0.0002", lr_d="1e-05", beta1="0.1", ema="0.9999",
                            loss="wasserstein", clip="0.03")
        for text in ('"lr_g": 2e-04,', '"lr_d": 1e-05,', '"beta1": 0.1,', '"beta2": 0.999,',
                     '"ema": 0.9999,', '"clip": 0.03'):
            self.assertIn(text, result.stdout)

    def test_needs_no_data(self):
        plan = json.loads(self.train(data_dir=self.folder / "none", strategy="standalone",
                                     dry_run=True).stdout)
        self.assertEqual(plan["workers"], 1)
        self.assertEqual((plan["bytes_down_per_iteration"], plan["bytes_per_swap"]), (0, 0))


class Choices(ProgramTest):
    """Every value of every flag trains."""

    def short_run(self, **given) -> list[dict]:
        outdir = self.folder / "run"
        self.train(**{"iterations": 2, "quiet": True, "outdir": outdir, **given})
        log = lines(outdir / LOG)
        self.assertEqual([line["iteration"] for line in log], [1, 2])
        for line in log:
            self.assertTrue(math.isfinite(line["loss_d"]) and math.isfinite(line["loss_g"]))
        return log

    def test_losses_and_optimizers(self):
        losses = {}
        for loss in ("saturating", "non_saturating", "least_squares", "hinge", "wasserstein"):
            with self.subTest(loss=loss):
                losses[loss] = self.short_run(loss=loss)
        first = {name: log[0]["loss_d"] for name, log in losses.items()}
        self.assertEqual(first["saturating"], first["non_saturating"])  # one loss for D
        self.assertEqual(len(set(first.values())), 4)
        self.assertEqual(len({log[1]["loss_g"] for log in losses.values()}), 5)
        for optimizer in ("adam", "rmsprop", "sgd"):
            with self.subTest(optimizer=optimizer):
                self.short_run(optimizer=optimizer)

    def test_swap_rules(self):
        plan = json.loads(self.train(workers=3, dry_run=True).stdout)
        for rule, moving in (("derangement", 3), ("ring", 3), ("pairs", 2)):
            with self.subTest(rule=rule):
                log = self.short_run(swap=rule, swap_every="1it", workers=3)
                self.assertEqual([line["bytes_swap"] for line in log],
                                 [plan["bytes_per_swap"] // 3 * moving] * 2)
        self.assertEqual([x["bytes_swap"] for x in self.short_run(swap_every="never")], [0, 0])
        self.assertEqual([x["bytes_swap"] for x in self.short_run(swap_every="1it", workers=1)],
                         [0, 0])
        moved = self.short_run(swap_every="1it", swap_moments=True)[0]["bytes_swap"]
        alone = self.short_run(swap_every="1it", swap_keep_statistics=True)[0]["bytes_swap"]
        self.assertGreater(moved, 2 * alone)

    def test_k_and_local_steps(self):
        for k in (1, 2, 3, "log"):
            with self.subTest(k=k):
                self.short_run(k=k, workers=3, local_steps=2)

    def test_standalone(self):
        for k in (1, 2):
            log = self.short_run(strategy="standalone", k=k, workers=4)
            self.assertEqual([(x["workers"], x["bytes_down"], x["images"]) for x in log],
                             [(1, 0, 4), (1, 0, 8)])
        self.assertIn("Standalone", (self.folder / "run" / "report.html").read_text())

    def test_mnist(self):
        self.short_run(data="mnist")

    def test_colour_preset(self):
        if "dcgan32" not in models():
            self.skipTest("this build of gantry-train has no dcgan32; add it to GANTRY_PRESETS")
        outdir = self.folder / "colour"
        self.train(model="dcgan32", iterations=1, workers=1, batch=2, metrics="fid",
                   metric_samples=16, outdir=outdir)
        for path in outdir.glob("*.png"):
            self.assertEqual(read_png(path), grid_extents(32, 3), path.name)
        self.assertEqual([x["generated"] for x in lines(outdir / SCORES)], [16, 16])
        self.assertEqual(lines(outdir / LOG)[0]["bytes_down"], 2 * 2 * 32 * 32 * 3 * 4)


class FolderOfAnEarlierRun(ProgramTest):
    def test_new_run_removes_only_what_the_program_writes(self):
        outdir = self.folder / "run"
        self.train(outdir=outdir, iterations=4, save_every=2, grid_every=1, metrics="fid",
                   metric_samples=16)
        (outdir / ".network-snapshot-000003.partial").mkdir()
        (outdir / "fakes000004.png.tmp-12-3").write_text("half")
        mine = ("notes.txt", "fakes.png", "fakes1.png", "network-snapshot-best", "stats.jsonl.bak")
        for name in mine:
            (outdir / name).write_text("mine")
        before = names(outdir)
        self.assert_refused(self.run_program(outdir=outdir, iterations=1, quiet=True,
                                             overwrite=False), 2,
                            "network-snapshot-000004", "--overwrite")
        self.assertEqual(names(outdir), before)
        result = self.train(outdir=outdir, iterations=1)
        phases = {f"phases-{rank}.jsonl" for rank in range(3)}
        self.assertEqual(names(outdir), {
            "reals.png", "fakes_init.png", "fakes000001.png", LOG, "config.toml", "report.html",
            "network-snapshot-000001/", "events", *phases, *mine})
        removed = [x for x in result.stderr.splitlines() if x.startswith("removed ")]
        self.assertEqual(removed, [f"removed what an earlier run left in {outdir}: 2 checkpoints, "
                                   "16 other files"])
        self.assertEqual([x["iteration"] for x in lines(outdir / LOG)], [1])
        self.assertEqual((outdir / "report.html").read_text().count("data:image/png"), 3)

    def test_refused_run_leaves_it_as_it_was(self):
        outdir = self.folder / "kept"
        self.train(outdir=outdir)
        before = names(outdir)
        result = self.run_program(outdir=outdir, data_dir=self.folder / "none", quiet=True)
        self.assert_refused(result, 3)
        self.assertEqual(names(outdir), before)


if __name__ == "__main__":
    unittest.main()

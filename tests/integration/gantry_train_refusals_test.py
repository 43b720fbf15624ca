#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""What gantry-train refuses: an exit code, one sentence, and nothing half-written."""
import fcntl
import json
import os
import re
import resource
import shutil
import subprocess
import unittest
from pathlib import Path

from gantry_train_support import (LOG, MODEL, PATIENCE, SIDE, ProgramTest, checkpoint, command,
                                  lines, models, names, sha256, snapshot, write_data)

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


class CommandLine(ProgramTest):
    def test_help_and_version(self):
        for flag in ("--help", "-h"):
            result = self.call(flag)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            for name in ("--data-dir", "--resume", "--dry-run", "--swap-every", MODEL):
                self.assertIn(name, result.stdout)
        result = self.call("--version")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertRegex(result.stdout, r"^gantry-train \d+\.\d+\.\d+\n$")

    def test_unknown_flag(self):
        for words in (["--frobnicate"], ["--frobnicate=3"], ["stray"]):
            self.assert_refused(self.call(*words), 2, words[0].split("=")[0],
                                "gantry-train --help")
        self.assert_refused(self.call("--iteratons", "3"), 2,
                            "--iteratons is not known; did you mean --iterations?")

    def test_unknown_value_names_the_valid_ones(self):
        choices = dict(re.findall(r"--([a-z-]+) TEXT:\{([^}]*)\}", self.call("--help").stdout))
        self.assertLessEqual({"data", "model", "loss", "optimizer", "strategy", "swap", "transport",
                              "device", "metrics"}, choices.keys())
        self.assertEqual(choices["model"].split(","), models())
        for flag, values in choices.items():
            with self.subTest(flag=flag):
                self.assert_refused(self.call(f"--{flag}", "none-such"), 2, f"--{flag}: expected ",
                                    ", ".join(values.split(",")), 'found "none-such"')

    def test_values_out_of_range(self):
        cases = {"batch": ("0", "-1", "4.5", "many", "70000"), "workers": ("0", "4097"),
                 "iterations": ("0", "99999999999"), "k": ("0", "-1", "2x", "ln"),
                 "local-steps": ("0",), "threads": ("-1",), "seed": ("-1", "1e3"),
                 "lr-g": ("0", "-1", "nan", "inf", "1e39", "fast"), "lr-d": ("nan",),
                 "clip": ("0", "nan"), "beta1": ("1", "nan"), "beta2": ("-0.1",), "ema": ("1",),
                 "swap-every": ("0", "-1", "nan", "inf", "3epochs", "1e300it", "it", ""),
                 "stop-worker": ("1", "0@3", "5@3", "2@-5", "2@3x", "@", "x@1"),
                 "metric-samples": ("1",), "save-every": ("-1",), "log-every": ("0",)}
        for flag, values in cases.items():
            for value in values:
                with self.subTest(flag=flag, value=value):
                    found = () if value == "" else (f'"{value}"', "expected")
                    self.assert_refused(self.call(f"--{flag}", value), 2, f"--{flag}", *found)

    def test_more_memory_than_the_machine_has(self):
        self.assert_refused(self.call("--workers", "4096", "--batch", "65536"), 2, "MiB",
                            "4096 workers", "fewer workers")

    def test_impossible_combinations(self):
        self.assert_refused(self.call("--strategy", "standalone", "--k", "3"), 2, "--k", "1", "2")
        self.assert_refused(self.call("--workers", "3", "--k", "4"), 2, "--k", "3 of --workers",
                            "is 4")
        self.assert_refused(self.call("--batch"), 2, "--batch", "one value")
        self.assert_refused(self.call("--batch", "2", "--batch", "3"), 2, "--batch", "once")

    def test_flags_without_effect(self):
        for flag, value, others, needed in (
                ("clip", "0.1", {"loss": "hinge"}, "--loss wasserstein"),
                ("beta1", "0.1", {"optimizer": "sgd"}, "--optimizer adam"),
                ("beta2", "0.1", {"optimizer": "rmsprop"}, "--optimizer adam"),
                ("swap", "ring", {"strategy": "standalone"}, "--strategy md_gan"),
                ("swap-every", "2", {"strategy": "standalone"}, "--strategy md_gan"),
                ("swap-moments", True, {"strategy": "standalone"}, "--strategy md_gan"),
                ("swap-keep-statistics", True, {"strategy": "standalone"}, "--strategy md_gan"),
                ("fraction", "0.5", {"strategy": "standalone"},
                 "--strategy federated_average or averaged_discriminator"),
                ("local-epochs", "2", {"strategy": "averaged_discriminator"},
                 "--strategy federated_average"),
                ("schedule", "serial", {"strategy": "federated_average"},
                 "--strategy averaged_discriminator"),
                ("stop-worker", "1@2", {"strategy": "standalone"}, "a strategy that has workers")):
            with self.subTest(flag):
                (found,) = others.values()
                words = command({flag: value, **others})[1:]
                self.assert_refused(self.call(*words), 2, f"--{flag} was expected with {needed}",
                                    f"came with {found}", "leave it out")

    def test_grey_networks_for_colour_data(self):
        if "mlp28" not in models():
            self.skipTest("this build of gantry-train has no mlp28; add it to GANTRY_PRESETS")
        for data in ("cifar10", "cifar100"):
            self.assert_refused(self.call("--data", data, "--model", "mlp28", "--dry-run"), 2,
                                "--model", "32 x 32 x 3", "mlp28 makes 28 x 28 x 1", "dcgan32")

    def test_more_workers_than_samples(self):
        outdir = self.folder / "run"
        small = write_data(self.folder / "small", train=20, test=10)
        self.assert_refused(self.run_program(data_dir=small, workers=21, outdir=outdir, quiet=True),
                            2, "21 workers", "20", "fewer workers")
        self.assertFalse(outdir.exists())

    def test_folder_that_cannot_be_written(self):
        file = self.folder / "file"
        file.write_text("mine")
        for outdir in (file, file / "below", ""):
            result = self.run_program(outdir=outdir, quiet=True)
            self.assert_refused(result, 3, "cannot write into the folder", str(outdir), "--outdir")
        self.assertEqual(file.read_text(), "mine")


class Data(ProgramTest):
    """A damaged data set each."""

    def setUp(self):
        self.data = self.folder / "damaged"
        write_data(self.data, train=20, test=10)
        self.addCleanup(shutil.rmtree, self.data)

    def check(self, *fragments: str) -> None:
        outdir = self.folder / "run"
        before = snapshot(self.data)
        result = self.run_program(data_dir=self.data, outdir=outdir, quiet=True)
        self.assert_refused(result, 3, "expected ", "found ", *fragments)
        self.assertFalse(outdir.exists())
        self.assertEqual(snapshot(self.data), before)

    def change(self, name: str, at: int, replacement: bytes) -> None:
        data = bytearray((self.data / name).read_bytes())
        data[at:at + len(replacement)] = replacement
        (self.data / name).write_bytes(data)

    def test_first_line_comes_before_the_data(self):
        result = self.run_program(data_dir=self.folder / "none", outdir=self.folder / "run")
        self.assert_refused(result, 3, str(self.folder / "none"), "found nothing")
        self.assertEqual(len(result.stdout.splitlines()), 1)
        self.assertRegex(result.stdout, "^gantry-train: md_gan of ")

    def test_missing_folder_and_files(self):
        (self.data / "t10k-labels-idx1-ubyte").unlink()
        self.check(str(self.data), "t10k-labels-idx1-ubyte", "neither")
        outdir = self.folder / "run"
        for kind, where in (("nothing", self.folder / "none"), ("something", self.data / IMAGES)):
            result = self.run_program(data_dir=where, outdir=outdir, quiet=True)
            self.assert_refused(result, 3, str(where), "Fashion-MNIST", f"found {kind}")
        self.assertFalse(outdir.exists())
        self.assert_refused(self.call("--data", "mnist", "--outdir", str(outdir), "--quiet"), 2,
                            "MNIST", "directory")

    def test_published_files_of_another_set(self):
        """MNIST and Fashion-MNIST have the same names and sizes."""
        folders = {"mnist": os.environ.get("GANTRY_MNIST_DIR"),
                   "fashion-mnist": os.environ.get("GANTRY_FASHION_MNIST_DIR") or
                   "/usr/share/datasets/fashion-mnist"}
        for other, name in (("mnist", "fashion-mnist"), ("fashion-mnist", "mnist")):
            with self.subTest(name):
                if not folders[name] or not Path(folders[name]).is_dir():
                    self.skipTest(f"no {name}; set GANTRY_MNIST_DIR and GANTRY_FASHION_MNIST_DIR")
                result = self.run_program(data=other, data_dir=folders[name], quiet=True,
                                          outdir=self.folder / "run")
                self.assert_refused(result, 3, folders[name], f"expected the files of {other}",
                                    f"found those of {name}", f"use --data {name}")
                self.assertFalse((self.folder / "run").exists())

    def test_wrong_magic(self):
        self.change(IMAGES, 0, b"PK\3\4")
        self.check(IMAGES, "0x00000803", "0x504b0304")

    def test_exchanged_files(self):
        (self.data / IMAGES).rename(self.data / "spare")
        (self.data / LABELS).rename(self.data / IMAGES)
        (self.data / "spare").rename(self.data / LABELS)
        self.check(LABELS, "0x00000801", "0x00000803", "exchanged")

    def test_other_extents(self):
        self.change(IMAGES, 8, (SIDE - 1).to_bytes(4, "big"))
        self.check(IMAGES, "28 x 28", "27 x 28")

    def test_truncated_file(self):
        data = (self.data / IMAGES).read_bytes()
        (self.data / IMAGES).write_bytes(data[:-100])
        self.check(IMAGES, f"{20 * SIDE * SIDE} bytes")

    def test_bytes_behind_the_end(self):
        (self.data / LABELS).write_bytes((self.data / LABELS).read_bytes() + b"\0")
        self.check(LABELS, "20 labels", "more bytes")

    def test_truncated_and_damaged_gzip(self):
        packed = write_data(self.folder / "packed", train=20, test=10, suffix=".gz")
        self.addCleanup(shutil.rmtree, packed)
        data = (packed / f"{IMAGES}.gz").read_bytes()
        (self.data / IMAGES).unlink()
        target = self.data / f"{IMAGES}.gz"
        target.write_bytes(data[:len(data) // 2])
        self.check(target.name, "a complete gzip file", "its end after")
        target.write_bytes(data[:-6] + b"\0\0" + data[-4:])  # a wrong check sum
        self.check(target.name, "intact gzip data", "damage")

    def test_other_number_of_labels(self):
        labels = (self.data / LABELS).read_bytes()
        (self.data / LABELS).write_bytes(labels[:4] + (19).to_bytes(4, "big") + labels[8:-1])
        self.check(LABELS, IMAGES, "20 labels", "found 19")

    def test_label_above_nine(self):
        self.change(LABELS, 8 + 5, b"\x0a")
        self.check(LABELS, "labels below 10", "10 at position 5")


class Checkpoints(ProgramTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.whole = cls.folder / "whole"
        result = cls.run_program(iterations=2, outdir=cls.whole)
        assert result.returncode == 0, result.stderr

    def setUp(self):
        self.outdir = self.folder / "run"
        shutil.copytree(self.whole, self.outdir)
        self.addCleanup(shutil.rmtree, self.outdir)
        self.latest = checkpoint(self.outdir, 2)

    def check(self, *fragments: str, code: int = 3, **given) -> None:
        before = snapshot(self.outdir)
        settings = {"resume": "latest", "outdir": self.outdir, "quiet": True, **given}
        self.assert_refused(self.run_program(**settings), code, *fragments)
        self.assertEqual(snapshot(self.outdir), before)

    def write_manifest(self) -> None:
        """As if the files had been saved as they are now."""
        files = sorted(names(self.latest) - {"MANIFEST.json"})
        manifest = {"format": "gantry-1", "sha256": {x: sha256(self.latest / x) for x in files}}
        (self.latest / "MANIFEST.json").write_text(json.dumps(manifest))

    def test_none_there(self):
        for resume in ("latest", self.folder / "none", self.data):
            outdir = self.folder / "empty"
            where = str(outdir if resume == "latest" else resume)
            result = self.run_program(resume=resume, outdir=outdir, quiet=True)
            self.assert_refused(result, 3, "expected a checkpoint", where, "found none")
            self.assertFalse(outdir.exists())

    def test_one_without_manifest_is_not_overwritten(self):
        (self.latest / "MANIFEST.json").unlink()
        self.check("found none that is complete", "no MANIFEST.json in", str(self.latest))
        self.check("--outdir without checkpoints", str(self.latest), "--overwrite", code=2,
                   resume=None, overwrite=False)

    def test_unfinished_one_does_not_count(self):
        self.latest.rename(self.outdir / ".network-snapshot-000002.partial")
        self.check("expected a checkpoint", "found none")

    def test_other_settings(self):
        for key, value in (("batch", 5), ("seed", 1), ("loss", "hinge"),
                           ("strategy", "standalone")):
            with self.subTest(key):
                self.check(str(self.latest), f"{key} = {json.dumps(value)}", "was made with",
                           **{key: value})

    def test_other_preset(self):
        others = [name for name in models() if name != MODEL]
        if not others:
            self.skipTest("this build of gantry-train has one preset; add one to GANTRY_PRESETS")
        self.check(f'model = "{others[0]}"', f'made with "{MODEL}"', model=others[0])

    def test_other_network_under_the_same_name(self):
        shutil.copy(self.latest / "discriminator-1.safetensors",
                    self.latest / "generator.safetensors")
        self.write_manifest()
        self.check(str(self.latest / "generator.safetensors"), "expected")

    def test_fewer_iterations_than_it_has(self):
        self.check("--iterations", "2", "1", code=2, iterations=1)

    def test_cut_files(self):
        for path in sorted(self.latest.iterdir()):
            whole = path.read_bytes()
            with self.subTest(path.name):
                path.write_bytes(whole[:-7])
                if path.name == "MANIFEST.json":
                    self.check("JSON")
                else:
                    self.check(str(path), "SHA-256", "damaged")
            path.write_bytes(whole)

    def test_cut_files_that_the_manifest_knows(self):
        for name, sentence in (("generator.safetensors", "not a valid safetensors file"),
                               ("discriminator-2.safetensors", "not a valid safetensors file"),
                               ("generator-optimizer.safetensors", "not a valid safetensors file"),
                               ("config.json", "not valid JSON"), ("state.json", "not valid JSON")):
            whole = (self.latest / name).read_bytes()
            with self.subTest(name):
                (self.latest / name).write_bytes(whole[:-7])
                self.write_manifest()
                self.check(sentence)
            (self.latest / name).write_bytes(whole)

    def test_missing_file(self):
        (self.latest / "discriminator-2.safetensors").unlink()
        self.check(str(self.latest), "expected to hold discriminator-2.safetensors")

    def test_foreign_log(self):
        (self.outdir / LOG).write_text('{"iteration":1}\nhello\n')
        self.check(str(self.outdir / LOG), "expected", "JSON")


class Training(ProgramTest):
    """What goes wrong while training."""

    def assert_no_leftovers(self, outdir: Path) -> None:
        self.assertEqual([x for x in names(outdir) if x.startswith(".") or ".tmp-" in x], [])

    def test_losses_that_are_not_finite(self):
        for given in ({"strategy": "md_gan"}, {"strategy": "standalone"}):
            outdir = self.folder / given["strategy"]
            result = self.run_program(**given, lr_g="1e30", optimizer="sgd", iterations=50,
                                      outdir=outdir, quiet=True)
            self.assert_refused(result, 1, "losses of iteration", "expected to be finite", "nan")
            self.assert_no_leftovers(outdir)
            self.assertFalse([x for x in names(outdir) if "snapshot" in x])
            self.assertLess(len(lines(outdir / LOG)), 50)

    def test_folder_of_another_run(self):
        outdir = self.folder / "shared"
        outdir.mkdir()
        held = os.open(outdir, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            result = self.run_program(iterations=1, outdir=outdir, quiet=True)
            self.assert_refused(result, 2, "--outdir", "one run at a time", str(outdir))
            self.assertEqual(names(outdir), set())
        finally:
            os.close(held)
        self.train(iterations=1, outdir=outdir)

    def test_worker_that_stops(self):
        outdir = self.folder / "stopped"
        result = self.train(workers=3, iterations=6, stop_worker=["2@3"], outdir=outdir)
        self.assertIn("workers alive at the end: 2 of 3", result.stdout.splitlines())
        log = lines(outdir / LOG)
        self.assertEqual([line["workers"] for line in log], [3, 3, 3, 2, 2, 2])
        one = 4 * SIDE * SIDE * 4
        self.assertEqual([line["bytes_up"] for line in log], [n["workers"] * one for n in log])
        self.assertEqual([line["bytes_down"] for line in log[4:]], [2 * 2 * one] * 2)
        saved = names(checkpoint(outdir, 6))
        self.assertIn("discriminator-3.safetensors", saved)
        self.assertNotIn("discriminator-2.safetensors", saved)
        state = json.loads((checkpoint(outdir, 6) / "state.json").read_text())
        self.assertEqual(state["live_workers"], [True, False, True])
        self.train(workers=3, iterations=8, resume="latest", outdir=outdir)
        self.assertEqual([line["workers"] for line in lines(outdir / LOG)][6:], [2, 2])

    def test_no_worker_left(self):
        outdir = self.folder / "alone"
        result = self.run_program(workers=2, iterations=9, stop_worker=["1@2", "2@4"],
                                  save_every=2, outdir=outdir, quiet=True)
        self.assert_refused(result, 4, "at least one worker", "all have stopped")
        self.assert_no_leftovers(outdir)
        self.assertIn("network-snapshot-000002/", names(outdir))
        self.assertEqual([x["workers"] for x in lines(outdir / LOG)], [2, 2, 1, 1])

    def test_last_workers_stop_in_the_last_round(self):
        """A round without a feedback is not a round: nothing is saved as if it had been."""
        outdir = self.folder / "together"
        result = self.run_program(workers=2, iterations=4, stop_worker=["1@3", "2@3"],
                                  outdir=outdir, quiet=True)
        self.assert_refused(result, 4, "at least one worker", "all have stopped")
        self.assertFalse([x for x in names(outdir) if "snapshot" in x])

    def test_disk_that_is_full(self):
        """A limit on the size of files stands for it: grids fit, checkpoints do not."""
        outdir = self.folder / "full"
        limit = 1 << 20
        result = subprocess.run(
            command(self.settings(outdir=outdir, quiet=True)), env=self.environment,
            capture_output=True, text=True, timeout=PATIENCE, restore_signals=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        self.assert_refused(result, 3, "cannot write", str(outdir), "File too large")
        self.assert_no_leftovers(outdir)
        self.assertFalse([x for x in names(outdir) if "snapshot" in x])


if __name__ == "__main__":
    unittest.main()

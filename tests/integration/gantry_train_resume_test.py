#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""The same seed gives the same bits: again, on other numbers of threads, after a stop, a kill."""
import json
import shutil
import signal
import time
import unittest
from pathlib import Path

from gantry_train_support import (LOG, PATIENCE, SCORES, ProgramTest, checkpoint, figures, lines,
                                  manifest_hash, names, sha256, snapshot)

SWAPS = {"workers": 3, "swap_every": "2it", "swap_moments": True, "k": 2}


class SameSeed(ProgramTest):
    def digest(self, name: str, **given) -> str:
        outdir = self.folder / name
        self.train(**{**SWAPS, "outdir": outdir, **given})
        return manifest_hash(outdir, 4)

    def test_bits(self):
        first = self.digest("first", seed=7)
        self.assertEqual(self.digest("again", seed=7), first)
        self.assertEqual(figures(lines(self.folder / "again" / LOG)),
                         figures(lines(self.folder / "first" / LOG)))
        for threads in (1, 3):
            self.assertEqual(self.digest("threads", seed=7, threads=threads), first, threads)
        self.assertNotEqual(self.digest("other", seed=8), first)

    def test_scores_and_pictures_do_not_change_it(self):
        plain = self.digest("plain")
        scored = self.digest("scored", metrics="fid", metric_samples=16, grid_every=1, save_every=1)
        self.assertEqual(scored, plain)


class Strategies(ProgramTest):
    """Other strategies, and what messages and images go through."""

    def test_resumed_bits(self):
        for name, given in {
                "fed_gan": {"strategy": "federated_average", "local_updates": 2,
                            "updates": "simultaneous"},
                "fe_gan": {"strategy": "federated_average", "weights": "kl-exp",
                           "participation": "balanced", "fraction": 0.5},
                "async": {"strategy": "federated_average", "staleness": "hinge"},
                "private": {"strategy": "federated_average", "average": "discriminator"},
                "ren": {"strategy": "averaged_discriminator", "schedule": "parallel",
                        "server_steps": 2, "scheduling": "proportional-fair",
                        "fraction": 0.7},
                "overlap": {"strategy": "layerwise_overlap", "peer_pass": "ewc"},
                "filtered": {"filter": "top-k", "keep": 0.1, "error_feedback": True},
                "noisy": {"noise": 0.5, "noise_seed": 7, "aggregation": "median"},
                "adapted": {"augment": "color,flip", "augment_probability": "ada"}}.items():
            with self.subTest(name):
                whole, parts = self.folder / name, self.folder / f"{name}-parts"
                given["workers"] = 3
                self.train(**given, outdir=whole)
                self.train(**given, outdir=parts, iterations=2)
                self.train(**given, outdir=parts, resume="latest")
                self.assertEqual(manifest_hash(parts, 4), manifest_hash(whole, 4))
                self.assertTrue(list(whole.glob("*.png")))


    def test_settings_that_a_resume_leaves_out(self):
        outdir = self.folder / "guarded"
        self.train(noise=0.5, noise_seed=7, outdir=outdir, iterations=2)
        result = self.run_program(outdir=outdir, resume="latest", quiet=True)
        self.assert_refused(result, 3, "noise = 0.5", "has none")


class Resume(ProgramTest):
    """A run of six iterations against one that was stopped on the way."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.given = {**SWAPS, "metrics": "fid", "metric_samples": 16, "grid_every": 2}
        cls.whole = cls.folder / "whole"
        result = cls.run_program(**cls.given, iterations=6, outdir=cls.whole)
        assert result.returncode == 0, result.stderr

    def assert_same_run(self, outdir: Path) -> None:
        self.assertEqual(manifest_hash(outdir, 6), manifest_hash(self.whole, 6))
        for log in (LOG, SCORES):
            self.assertEqual(figures(lines(outdir / log)), figures(lines(self.whole / log)), log)
        for path in self.whole.glob("*.png"):
            self.assertEqual((outdir / path.name).read_bytes(), path.read_bytes(), path.name)
        seconds = [line["seconds"] for line in lines(outdir / LOG)]
        self.assertEqual(seconds, sorted(seconds))
        for folder in (outdir, self.whole):
            page = (folder / "report.html").read_text()
            self.assertEqual(page.count("data:image/png"), 5)  # real, initial, 2, 4, 6

    def test_latest_continues_to_the_same_bits(self):
        outdir = self.folder / "halves"
        self.train(**self.given, iterations=4, outdir=outdir)
        self.train(**self.given, iterations=6, outdir=outdir, resume="latest")
        self.assert_same_run(outdir)
        self.assertEqual(names(outdir) - names(self.whole), {"network-snapshot-000004/"})

    def test_what_came_after_an_older_checkpoint_is_made_anew(self):
        outdir = self.folder / "older"
        self.train(**self.given, iterations=5, outdir=outdir, save_every=3)
        result = self.train(**self.given, iterations=6, outdir=outdir,
                            resume=f"{checkpoint(outdir, 3)}/")
        self.assertIn(f"removed what an earlier run left in {outdir} behind iteration 3: "
                      "1 checkpoint, 2 other files", result.stderr.splitlines())
        self.assert_same_run(outdir)
        self.assertEqual(names(outdir) - names(self.whole), {"network-snapshot-000003/"})

    def test_one_without_manifest_is_left_aside(self):
        outdir = self.folder / "aside"
        self.train(**self.given, iterations=4, outdir=outdir, save_every=2)
        (checkpoint(outdir, 4) / "MANIFEST.json").unlink()
        before = snapshot(checkpoint(outdir, 4))
        result = self.train(**self.given, iterations=2, outdir=outdir, resume="latest")
        self.assertIn(f"gantry-train: {checkpoint(outdir, 4)} has no MANIFEST.json and is left "
                      f"aside, resuming from {checkpoint(outdir, 2)}; a new checkpoint of its "
                      "iteration takes its place", result.stderr.splitlines())
        self.assertEqual(snapshot(checkpoint(outdir, 4)), before)
        self.train(**self.given, iterations=6, outdir=outdir, resume="latest", save_every=2)
        self.assert_same_run(outdir)
        self.assertIn("MANIFEST.json", names(checkpoint(outdir, 4)))

    def test_settings_in_more_digits_are_the_same(self):
        """Earlier versions wrote 0.00019999999494757503 for 2e-04."""
        outdir = self.folder / "digits"
        self.train(**self.given, iterations=4, outdir=outdir)
        saved = checkpoint(outdir, 4)
        text = (saved / "config.json").read_text()
        self.assertIn('"lr_g": 2e-04,', text)
        (saved / "config.json").write_text(text.replace("2e-04", "0.00019999999494757503"))
        manifest = json.loads((saved / "MANIFEST.json").read_text())
        manifest["sha256"]["config.json"] = sha256(saved / "config.json")
        (saved / "MANIFEST.json").write_text(json.dumps(manifest))
        self.train(**self.given, iterations=6, outdir=outdir, resume="latest")
        self.assert_same_run(outdir)

    def test_into_another_folder(self):
        source, outdir = self.folder / "source", self.folder / "target"
        self.train(**self.given, iterations=3, outdir=source)
        self.train(iterations=1, outdir=outdir)  # of another run: has to go
        before = snapshot(source)
        self.train(**self.given, iterations=6, outdir=outdir, resume=source)
        self.assertEqual(snapshot(source), before)
        self.assertEqual(manifest_hash(outdir, 6), manifest_hash(self.whole, 6))
        self.assertEqual([line["iteration"] for line in lines(outdir / LOG)], [4, 5, 6])
        self.assertNotIn("network-snapshot-000001/", names(outdir))

    def test_complete_run_resumes_to_itself(self):
        outdir = self.folder / "complete"
        shutil.copytree(self.whole, outdir)
        self.train(**self.given, iterations=6, outdir=outdir, resume="latest")
        self.assertEqual(names(outdir), names(self.whole))
        self.assert_same_run(outdir)

    def test_log_with_a_cut_last_line(self):
        outdir = self.folder / "cut"
        self.train(**self.given, iterations=4, outdir=outdir)
        with (outdir / LOG).open("a") as log:
            log.write('{"iteration":5,"seco')
        self.train(**self.given, iterations=6, outdir=outdir, resume="latest")
        self.assert_same_run(outdir)

    def test_sums_survive_when_the_log_is_sparse(self):
        outdir, sparse = self.folder / "sparse", {**self.given, "log_every": 4, "metrics": "none"}
        self.train(**sparse, iterations=5, outdir=outdir, save_every=3)
        self.train(**sparse, iterations=6, outdir=outdir, resume=checkpoint(outdir, 3))
        log, whole = lines(outdir / LOG), lines(self.whole / LOG)
        self.assertEqual([line["iteration"] for line in log], [3, 4, 6])
        for key in ("bytes_down", "bytes_up", "bytes_swap"):
            self.assertEqual(sum(line[key] for line in log), sum(line[key] for line in whole))
        self.assertEqual(log[-1]["images"], whole[-1]["images"])


class Signals(ProgramTest):
    """Runs that are far from their end when they are stopped."""

    def start_and_wait(self, ready, **given):
        program = self.start(**{**SWAPS, "iterations": 1000000, **given})
        self.addCleanup(program.communicate)
        self.addCleanup(program.kill)
        end = time.monotonic() + PATIENCE
        while not ready():
            self.assertIsNone(program.poll(), "the run ended before it was stopped")
            self.assertLess(time.monotonic(), end, "the run does not get on")
            time.sleep(0.02)
        return program

    def finish_both(self, outdir: Path, iteration: int) -> None:
        """The interrupted run and one that was not, both a little further."""
        end, other = iteration + 2, self.folder / f"{outdir.name}-whole"
        self.train(**SWAPS, iterations=end, grid_every=1000, outdir=outdir, resume="latest")
        self.train(**SWAPS, iterations=end, grid_every=1000, outdir=other)
        self.assertEqual(manifest_hash(outdir, end), manifest_hash(other, end))
        self.assertEqual(figures(lines(outdir / LOG)), figures(lines(other / LOG)))
        self.assertEqual([line["iteration"] for line in lines(outdir / LOG)],
                         list(range(1, end + 1)))
        self.assertEqual([x for x in names(outdir) if x.startswith(".") or ".tmp-" in x], [])

    def test_interrupt_and_terminate_save(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            with self.subTest(number.name):
                outdir = self.folder / number.name
                log = outdir / LOG
                program = self.start_and_wait(
                    lambda: log.exists() and log.read_text().count("\n") >= 3, outdir=outdir)
                program.send_signal(number)
                _, errors = program.communicate(timeout=PATIENCE)
                self.assertEqual(program.returncode, code, errors)
                saved = [x for x in names(outdir) if x.startswith("network-snapshot-")]
                self.assertEqual(len(saved), 1)
                state = json.loads((outdir / saved[0] / "state.json").read_text())
                iteration = state["iteration"]
                self.assertEqual(saved[0], checkpoint(outdir, iteration).name + "/")
                self.assertEqual(lines(log)[-1]["iteration"], iteration)
                self.assertIn(f"gantry-train: stopped by signal {number.value} after saving "
                              f"iteration {iteration}; continue with --resume latest", errors)
                self.assertIn("report.html", names(outdir))
                self.finish_both(outdir, iteration)

    def test_kill_leaves_whole_checkpoints(self):
        outdir = self.folder / "killed"
        program = self.start_and_wait(lambda: checkpoint(outdir, 4).exists(), outdir=outdir,
                                      save_every=2)
        program.kill()
        program.communicate(timeout=PATIENCE)
        latest = max(x for x in names(outdir) if x.startswith("network-snapshot-"))
        self.finish_both(outdir, int(latest.rstrip("/").rpartition("-")[2]))


if __name__ == "__main__":
    unittest.main()

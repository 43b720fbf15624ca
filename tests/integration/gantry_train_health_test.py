#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Workers that are late, over threads, and runs that go on with another number of workers."""
import json
import shutil
import unittest
from pathlib import Path

from gantry_train_support import LOG, ProgramTest, checkpoint, lines, manifest_hash, sha256

LATE = {"workers": 3, "threads": 3, "iterations": 6, "pause_worker": ["2@3:2"], "patience": 0.4}


def live_workers(folder: Path) -> list[bool]:
    return json.loads((folder / "state.json").read_text())["live_workers"]


class LateWorkers(ProgramTest):
    def test_who_waits_changes_nothing(self):
        plain, late = self.folder / "plain", self.folder / "late"
        self.train(workers=3, iterations=6, outdir=plain)
        result = self.train(**LATE, outdir=late)
        self.assertRegex(result.stderr, r"rank 0 has waited \d+ s for a feedback message of \d+ "
                                        r"values from rank 2 \(receive in iteration 4\); "
                                        r"not arrived: rank 2 \(does nothing for")
        self.assertEqual(manifest_hash(late, 6), manifest_hash(plain, 6))

    def test_dropped_worker_costs_no_generator_step(self):
        for strategy in ("md_gan", "federated_average", "output_aggregation"):
            with self.subTest(strategy):
                outdir = self.folder / strategy
                result = self.train(**LATE, strategy=strategy, when_late="drop", outdir=outdir)
                self.assertIn("rank 2 is taken as lost in iteration 4", result.stderr)
                self.assertIn("workers alive at the end: 2 of 3", result.stdout)
                log = lines(outdir / LOG)
                self.assertEqual([line["iteration"] for line in log], [1, 2, 3, 4, 5, 6])
                self.assertEqual([line["workers"] for line in log], [3, 3, 3, 2, 2, 2])
                self.assertEqual(live_workers(checkpoint(outdir, 6)), [True, False, True])

    def test_saved_and_ended(self):
        outdir = self.folder / "saved"
        result = self.run_program(**LATE, when_late="save", outdir=outdir, quiet=True)
        self.assertEqual(result.returncode, 4, result.stderr)
        self.assertRegex(result.stderr.splitlines()[-1], "expected every worker to show a sign of "
                                                         "work .* 1 of them lost, and saved "
                                                         "iteration 4; go on with --resume")
        self.assertEqual(live_workers(checkpoint(outdir, 4)), [True, False, True])
        # With the workers that are left, and as before with the lost one anew.
        kept = self.folder / "kept"
        shutil.copytree(outdir, kept)
        self.train(workers=2, resume="latest", iterations=6, outdir=outdir)
        self.assertEqual(live_workers(checkpoint(outdir, 6)), [True, True])
        self.train(workers=3, resume="latest", revive=True, iterations=6, outdir=kept)
        self.assertEqual(live_workers(checkpoint(kept, 6)), [True, True, True])

    def test_refusals(self):
        for given, parts in (
                ({"strategy": "standalone", "workers": None, "when_late": "drop"},
                 ("--when-late", "standalone")),
                ({"pause_worker": ["3@1:1"]}, ("--pause-worker", "from 1 to 2", "3@1:1")),
                ({"pause_worker": ["1@1"]}, ("--pause-worker", "WORKER@ITERATION:SECONDS"))):
            result = self.run_program(**given, quiet=True, outdir=self.folder / "refused")
            self.assert_refused(result, 2, *parts)


class OtherNumbers(ProgramTest):
    """A resume with more workers, and with fewer."""

    def assert_goes_on(self, name: str, fewer: int, more: int, **given) -> None:
        whole = self.folder / name
        self.train(**given, workers=3, iterations=2, outdir=whole)
        for workers in (fewer, more):
            outdir = self.folder / f"{name}-{workers}"
            shutil.copytree(whole, outdir)
            result = self.train(**given, workers=workers, iterations=3, resume="latest",
                                outdir=outdir)
            self.assertIn(f"workers: {workers}, the checkpoint has 3 of which 3 were live",
                          result.stdout)
            log = lines(outdir / LOG)
            self.assertEqual([line["iteration"] for line in log], [1, 2, 3])
            self.assertEqual([line["workers"] for line in log], [3, 3, workers])
            self.assertEqual(live_workers(checkpoint(outdir, 3)), [True] * workers)

    def test_strategies(self):
        for name, given in {
                "md_gan": {"swap_every": "2it", "k": 2, "swap_moments": True},
                "federated": {"strategy": "federated_average", "weights": "kl-exp"},
                "averaged": {"strategy": "averaged_discriminator", "schedule": "parallel"},
                "overlap": {"strategy": "layerwise_overlap", "peer_pass": "ewc"},
                "filtered": {"filter": "top-k", "keep": 0.1, "error_feedback": True}}.items():
            with self.subTest(name):
                self.assert_goes_on(name, 2, 5, **given)

    def test_what_is_kept(self):
        """Nothing is learned in between: networks are those of the seats that workers take."""
        whole = self.folder / "kept"
        self.train(workers=3, iterations=2, stop_worker=["2@1"], outdir=whole)
        before, after = checkpoint(whole, 2), self.folder / "more" / "network-snapshot-000002"
        self.train(workers=4, iterations=2, resume=before, outdir=self.folder / "more")
        for name in ("generator", "generator_ema", "generator-optimizer"):
            file = f"{name}.safetensors"
            self.assertEqual(sha256(after / file), sha256(before / file))
        for worker, seat in ((1, 1), (2, 3), (3, 1), (4, 3)):
            for part in ("", "-optimizer"):
                file = f"discriminator-%d{part}.safetensors"
                self.assertEqual(sha256(after / (file % worker)), sha256(before / (file % seat)),
                                 (worker, seat))

    def test_refusals(self):
        for name, given in (
                ("labels", {"strategy": "label_parallel"}),
                ("async", {"strategy": "federated_average", "staleness": "hinge"})):
            outdir = self.folder / name
            self.train(**given, workers=2, iterations=1, outdir=outdir)
            result = self.run_program(**given, workers=1, iterations=2, resume="latest",
                                      outdir=outdir, quiet=True)
            self.assert_refused(result, 3, "1 workers", "has 2", "as many --workers")
        outdir = self.folder / "noise"
        self.train(noise=0.5, noise_seed=7, workers=2, iterations=1, outdir=outdir)
        result = self.run_program(noise=0.5, noise_seed=7, workers=1, iterations=2, outdir=outdir,
                                  resume="latest", quiet=True)
        self.assert_refused(result, 2, "--noise", "must not come twice")


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Ranks of a job that stop, come back or are killed, and runs that go on without them."""
import json
import os
import shutil
import signal
import unittest
from pathlib import Path

from gantry_train_mpi_support import MISSING, ROUNDS, MpiTest
from gantry_train_support import LOG, checkpoint, lines, manifest_hash

# Messages by shared memory, so that a process that is killed breaks no connection; and mpirun does
# not end the others with it.
SURVIVES = ("--enable-recovery",)


def live_workers(folder: Path) -> list[bool]:
    return json.loads((folder / "state.json").read_text())["live_workers"]


@unittest.skipIf(MISSING, MISSING)
class LateRanks(MpiTest):
    patience = 90

    def hit(self, job, rank: int, what: int, outdir: Path, iteration: int) -> None:
        """A signal to a rank of a job that has saved an iteration."""
        self.await_checkpoint(job, outdir, iteration)
        os.kill(self.pid_of(job, rank), what)

    def assert_went_on(self, job, outdir: Path, iterations: int) -> None:
        out, errors = self.end_of(job)
        # Killed is an mpirun that has outlived its ranks, which end_of knows of.
        self.assertIn(job.returncode, (0, -signal.SIGKILL), errors)
        self.assertRegex(errors, "rank 2 is taken as lost in iteration")
        self.assertIn("workers alive at the end: 2 of 3", out)
        log = lines(outdir / LOG)
        self.assertEqual([line["iteration"] for line in log], list(range(1, iterations + 1)))
        self.assertEqual((log[0]["workers"], log[-1]["workers"]), (3, 2))
        self.assertEqual(live_workers(checkpoint(outdir, iterations)), [True, False, True])

    def test_rank_that_stops_or_is_killed_is_dropped(self):
        for what in (signal.SIGSTOP, signal.SIGKILL):
            with self.subTest(what.name):
                outdir = self.folder / what.name
                # Another worker holds the run up until this one is hit.
                job = self.start_job(4, SURVIVES, outdir=outdir, iterations=8, save_every=4,
                                     when_late="drop", patience=1.5, pause_worker=["3@4:1"])
                self.hit(job, 2, what, outdir, 4)
                self.assert_went_on(job, outdir, 8)

    def test_rank_that_comes_back_has_left(self):
        outdir = self.folder / "back"
        job = self.start_job(4, outdir=outdir, when_late="drop", patience=1.5,
                             pause_worker=["2@3:5"])
        self.assert_went_on(job, outdir, 6)

    def test_slow_rank_is_waited_for(self):
        """A round that takes several times the patience: who computes is not lost."""
        outdir, plain = self.folder / "slow", self.folder / "fast"
        self.train(workers=3, local_steps=100, iterations=2, outdir=plain, swap_every="2it", k=2)
        # On a busy machine silence says little, and rounds are long.
        patience = max(0.2, min(line["seconds"] for line in lines(plain / LOG)) / 4)
        job = self.start_job(4, outdir=outdir, local_steps=100, iterations=2, save_every=2,
                             when_late="drop", patience=patience)
        errors = self.end_of(job)[1]
        self.assertEqual(job.returncode, 0, errors)
        self.assertNotIn("taken as lost", errors)
        self.assertEqual(manifest_hash(outdir, 2), manifest_hash(plain, 2))

    def test_saved_and_ended(self):
        outdir = self.folder / "saved"
        job = self.start_job(4, outdir=outdir, iterations=100000, log_every=1000, save_every=2,
                             when_late="save", patience=1)
        self.hit(job, 2, signal.SIGSTOP, outdir, 2)
        errors = self.end_of(job)[1]
        self.assertEqual(job.returncode, 4, errors)
        self.assertRegex(errors, "1 of them lost, and saved iteration")
        last = max(outdir.glob("network-snapshot-*"))
        self.assertEqual(live_workers(last), [True, False, True])

    def assert_lost_at_most(self, rounds: int, outdir: Path) -> int:
        """The last iteration that was saved."""
        done = lines_of_cut_log(outdir / LOG)
        saved = max(int(p.name[-6:]) for p in outdir.glob("network-snapshot-*")
                    if (p / "MANIFEST.json").exists())
        self.assertLessEqual(done - saved, rounds)
        return saved

    def test_rank_0_is_lost(self):
        """The others end with its name and exit code 4, and the run goes on from its checkpoint."""
        for what, mpirun in ((signal.SIGSTOP, ()), (signal.SIGKILL, SURVIVES)):
            with self.subTest(what.name):
                outdir = self.folder / f"server-{what.name}"
                job = self.start_job(4, mpirun, outdir=outdir, iterations=100000, log_every=1,
                                     save_every=3, when_late="drop", patience=1.25)
                self.hit(job, 0, what, outdir, 3)
                errors = self.end_of(job)[1]
                if not mpirun:  # with --enable-recovery, mpirun's own code is 0
                    self.assertEqual(job.returncode, 4, errors)
                self.assertRegex(errors, r"gantry-train: rank \d has waited \d+ s for .*rank 0 "
                                         r"\(silent for \d+ s: stopped, killed or cut off\).* "
                                         "taken as lost, go on with --resume latest")
                saved = self.assert_lost_at_most(3, outdir)
                # mpirun lets a stopped process go on for a moment before it kills it.
                self.assertEqual(live_workers(checkpoint(outdir, saved)), [True] * 3)
                code, errors = self.run_job(4, outdir=outdir, iterations=saved + 2,
                                            resume="latest")
                self.assertEqual(code, 0, errors)

    def test_rank_0_that_goes_on_is_waited_for(self):
        outdir, plain = self.folder / "pause", self.folder / "without"
        self.train(**{**ROUNDS, "iterations": 6, "save_every": 4}, outdir=plain)
        # A worker holds the run up until the server is stopped.
        job = self.start_job(4, outdir=outdir, iterations=6, save_every=4, pause_worker=["3@4:1"])
        self.hit(job, 0, signal.SIGSTOP, outdir, 4)
        try:
            self.read_until(job, r"rank \d has waited \d+ s for .*rank 0 \(silent")
        finally:
            os.kill(self.pid_of(job, 0), signal.SIGCONT)
        errors = self.end_of(job)[1]
        self.assertEqual(job.returncode, 0, errors)
        self.assertEqual(manifest_hash(outdir, 6), manifest_hash(plain, 6))

    def test_killed_job_goes_on_with_a_rank_less(self):
        outdir = self.folder / "killed"
        job = self.start_job(4, outdir=outdir, iterations=100000, log_every=1, save_every=3)
        self.hit(job, 3, signal.SIGKILL, outdir, 3)
        self.end_of(job)
        self.assertNotEqual(job.returncode, 0)
        saved = self.assert_lost_at_most(3, outdir)
        over_threads = self.folder / "threads"
        shutil.copytree(outdir, over_threads)
        code, errors = self.run_job(3, outdir=outdir, workers=2, iterations=saved + 2,
                                    resume="latest")
        self.assertEqual(code, 0, errors)
        self.train(workers=2, swap_every="2it", k=2, iterations=saved + 2, resume="latest",
                   outdir=over_threads)
        self.assertEqual(manifest_hash(outdir, saved + 2), manifest_hash(over_threads, saved + 2))

    def test_default_interval(self):
        outdir = self.folder / "default"
        code, errors = self.run_job(4, outdir=outdir, iterations=4, save_every=None)
        self.assertEqual(code, 0, errors)
        self.assertEqual(len(list(outdir.glob("network-snapshot-*"))), 4)


def lines_of_cut_log(path: Path) -> int:
    """The last iteration of a log whose last line may be cut."""
    return max(json.loads(line)["iteration"] for line in path.read_text().split("\n")[:-1])


if __name__ == "__main__":
    unittest.main()

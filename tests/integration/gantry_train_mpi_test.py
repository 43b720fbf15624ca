#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""gantry-train over MPI: the bits of a run over threads, and ranks that are late or lost."""
import os
import re
import shutil
import signal
import unittest

from gantry_train_mpi_support import MISSING, ROUNDS, MpiTest
from gantry_train_support import LOG, checkpoint, lines, manifest_hash


@unittest.skipIf(MISSING, MISSING)
class OverMpi(MpiTest):
    def test_bits(self):
        over_threads, over_mpi = self.folder / "threads", self.folder / "mpi"
        self.train(**ROUNDS, outdir=over_threads)
        code, errors = self.run_job(4, outdir=over_mpi)
        self.assertEqual(code, 0, errors)
        self.assertEqual(manifest_hash(over_mpi, 6), manifest_hash(over_threads, 6))
        for rank in range(4):  # each process says what it did, and sends what a thread does
            both = [lines(outdir / f"phases-{rank}.jsonl") for outdir in (over_mpi, over_threads)]
            for log in both:
                self.assertEqual([line["iteration"] for line in log], [1, 2, 3, 4, 5, 6])
                self.assertTrue(all(line["seconds"]["wait"] > 0 for line in log))
            self.assertEqual(*([line["sent"] for line in log] for log in both))
        # And from a checkpoint of the other transport on.
        resumed = self.folder / "resumed"
        code, errors = self.run_job(4, outdir=resumed, resume=checkpoint(over_threads, 2))
        self.assertEqual(code, 0, errors)
        self.assertEqual(manifest_hash(resumed, 6), manifest_hash(over_threads, 6))

    def test_every_strategy_has_the_hash_of_threads(self):
        few = {"workers": 2, "iterations": 2, "save_every": 2, "swap_every": None, "k": None}
        for strategy in ("federated_average", "averaged_discriminator", "layerwise_overlap",
                         "label_parallel", "output_aggregation"):
            with self.subTest(strategy):
                over = {name: self.folder / f"{strategy}-{name}" for name in ("threads", "mpi")}
                self.train(**few, strategy=strategy, outdir=over["threads"])
                code, errors = self.run_job(3, **few, strategy=strategy, outdir=over["mpi"])
                self.assertEqual(code, 0, errors)
                self.assertEqual(*(manifest_hash(outdir, 2) for outdir in over.values()))

    def test_what_compute_hides_of_the_broadcast(self):
        outdir = self.folder / "hidden"
        job = self.start_job(3, strategy="layerwise_overlap", workers=2, swap_every=None, k=None,
                             iterations=4, overlap="input-first", outdir=outdir)
        out, errors = self.end_of(job)
        self.assertEqual(job.returncode, 0, errors)
        for line in lines(outdir / LOG):
            self.assertGreater(line["seconds_hidden"] + line["seconds_exposed"], 0)
            self.assertAlmostEqual(line["hidden_fraction"], line["seconds_hidden"] /
                                   (line["seconds_hidden"] + line["seconds_exposed"]))
            self.assertTrue(0 <= line["hidden_fraction"] <= 1)
        share = re.search(r"on their way to a worker: ([\d.]+) s, ([\d.]+) % of it hidden", out)
        self.assertTrue(0 <= float(share[2]) <= 100, out)
        self.assertIn("hidden behind compute", (outdir / "report.html").read_text())

    def test_own_images_are_packed_once(self):
        cache, outdir = self.folder / "cache", self.folder / "own"
        code, errors = self.run_job(4, data=self.data, data_dir=None, metrics=None,
                                    data_cache=cache, iterations=2, outdir=outdir)
        self.assertEqual(code, 0, errors)
        self.assertEqual(len(list(cache.glob("*.gpack"))), 1)
        # A refusal by the process that packs ends those that wait for it.
        code, errors = self.run_job(4, data=self.data, data_dir=None, metrics=None,
                                    data_cache="/proc/none", outdir=outdir)
        self.assertEqual(code, 3, errors)

    def test_number_of_processes(self):
        outdir = self.folder / "three"
        code, errors = self.run_job(3, outdir=outdir)
        self.assertEqual(code, 2, errors)
        self.assertRegex(errors, "expected 4 processes.* found 3; start mpirun with -n 4")
        self.assertFalse(outdir.exists())

    def test_stopped_rank_is_named_and_waited_for(self):
        expected, outdir = self.folder / "whole", self.folder / "stopped"
        self.train(**{**ROUNDS, "iterations": 40}, outdir=expected)
        job = self.start_job(4, outdir=outdir, iterations=40)
        for line in job.stdout:
            if line.startswith("data:"):
                break
        worker = self.pid_of(job, 2)
        os.kill(worker, signal.SIGSTOP)
        try:
            self.read_until(job, r"has waited \d+ s for .*rank 2")
        finally:
            os.kill(worker, signal.SIGCONT)
        self.end_of(job)
        self.assertEqual(job.returncode, 0)
        self.assertEqual(manifest_hash(outdir, 40), manifest_hash(expected, 40))

    def test_killed_rank_0_leaves_a_checkpoint(self):
        outdir, expected = self.folder / "killed", self.folder / "unbroken"
        self.train(**ROUNDS, outdir=expected)
        job = self.start_job(4, outdir=outdir, iterations=100000, log_every=1000)
        self.await_checkpoint(job, outdir, 4)
        os.kill(self.pid_of(job, 0), signal.SIGKILL)
        errors = self.end_of(job)[1]
        self.assertNotEqual(job.returncode, 0)
        self.assertRegex(errors, "process rank 0 .*signal 9")  # mpirun names it and ends the others
        for later in outdir.glob("network-snapshot-*"):
            if later != checkpoint(outdir, 4):
                shutil.rmtree(later)
        self.train(**ROUNDS, outdir=outdir, resume="latest")
        self.assertEqual(manifest_hash(outdir, 6), manifest_hash(expected, 6))


if __name__ == "__main__":
    unittest.main()

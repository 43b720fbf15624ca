#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""gantry-train over MPI: the bits of a run over threads, and ranks that are late or lost."""
import os
import re
import shutil
import signal
import subprocess
import unittest
from pathlib import Path

from gantry_train_support import (PATIENCE, PROGRAM, ProgramTest, checkpoint, command, lines,
                                  manifest_hash)

ROUNDS = {"workers": 3, "swap_every": "2it", "k": 2, "iterations": 6, "save_every": 2}
HELP = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True).stdout
MISSING = ("" if shutil.which("mpirun") and re.search(r"--transport TEXT:\{[^}]*mpi", HELP)
           else "this build of gantry-train has no MPI, or mpirun is missing")


def rank_of(pid: int) -> int | None:
    """Which rank of an Open MPI job a process is, if it is one of this program."""
    try:
        if os.readlink(f"/proc/{pid}/exe") != os.path.realpath(PROGRAM):
            return None
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    return next((int(v.split(b"=")[1]) for v in variables
                 if v.startswith(b"OMPI_COMM_WORLD_RANK=")), None)


def descendants(pid: int) -> list[int]:
    found = [int(child) for task in Path(f"/proc/{pid}/task").glob("*/children")
             for child in task.read_text().split()]
    return found + [below for child in found for below in descendants(child)]


@unittest.skipIf(MISSING, MISSING)
class OverMpi(ProgramTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                            "OMPI_MCA_rmaps_base_oversubscribe": "1"}

    def start_job(self, ranks: int, **given) -> subprocess.Popen:
        settings = self.settings(**{**ROUNDS, "transport": "mpi", "threads": 1, **given})
        return subprocess.Popen(["mpirun", "-n", str(ranks), *command(settings)],
                                env=self.environment, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def run_job(self, ranks: int, **given) -> tuple[int, str]:
        job = self.start_job(ranks, **given)
        errors = job.communicate(timeout=PATIENCE)[1]
        return job.returncode, errors

    def pid_of(self, job: subprocess.Popen, rank: int) -> int:
        return next(p for p in descendants(job.pid) if rank_of(p) == rank)

    def read_until(self, job: subprocess.Popen, pattern: str) -> str:
        for line in job.stderr:
            if re.search(pattern, line):
                return line
        self.fail(f"the job ended with {job.wait()} and without a line like {pattern}")

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

    def test_own_images_are_packed_once(self):
        cache, outdir = self.folder / "cache", self.folder / "own"
        code, errors = self.run_job(4, data=self.data, data_dir=None, metrics=None,
                                    data_cache=cache, iterations=2, outdir=outdir)
        self.assertEqual(code, 0, errors)
        self.assertEqual(len(list(cache.iterdir())), 1)
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
        job.communicate(timeout=PATIENCE)
        self.assertEqual(job.returncode, 0)
        self.assertEqual(manifest_hash(outdir, 40), manifest_hash(expected, 40))

    def test_killed_rank_leaves_a_checkpoint(self):
        outdir, expected = self.folder / "killed", self.folder / "unbroken"
        self.train(**ROUNDS, outdir=expected)
        job = self.start_job(4, outdir=outdir, iterations=100000, log_every=1000)
        while not checkpoint(outdir, 4).exists():
            self.assertIsNone(job.poll(), "the job ended by itself")
        os.kill(self.pid_of(job, 3), signal.SIGKILL)
        job.communicate(timeout=PATIENCE)
        self.assertNotEqual(job.returncode, 0)
        for later in outdir.glob("network-snapshot-*"):
            if later != checkpoint(outdir, 4):
                shutil.rmtree(later)
        self.train(**ROUNDS, outdir=outdir, resume="latest")
        self.assertEqual(manifest_hash(outdir, 6), manifest_hash(expected, 6))


if __name__ == "__main__":
    unittest.main()

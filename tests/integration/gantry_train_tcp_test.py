#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""gantry-train over TCP: processes of a launcher without MPI, and what --transport nccl needs."""
import os
import shutil
import signal
import socket
import subprocess
import unittest
from pathlib import Path

from gantry_train_support import (PATIENCE, ProgramTest, checkpoint, command, lines,
                                  manifest_hash)

ROUNDS = {"workers": 3, "swap_every": "2it", "k": 2, "iterations": 6, "save_every": 2}


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("", 0))
        return s.getsockname()[1]


class OverTcp(ProgramTest):
    def start_job(self, ranks: int, meet: dict[str, str], **given) -> list[subprocess.Popen]:
        """As torchrun --no-python starts them."""
        settings = self.settings(**{**ROUNDS, "transport": "tcp", "threads": 1, **given})
        return [subprocess.Popen(command(settings),
                                 env=self.environment | meet | {"RANK": str(r),
                                                                "LOCAL_RANK": str(r),
                                                                "WORLD_SIZE": str(ranks)},
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                for r in range(ranks)]

    def end(self, job: list[subprocess.Popen]) -> tuple[list[int], str]:
        errors = "".join(process.communicate(timeout=PATIENCE)[1] for process in job)
        return [process.returncode for process in job], errors

    def in_folder(self, name: str) -> dict[str, str]:
        return {"GANTRY_RENDEZVOUS": str(self.folder / name), "GANTRY_HOST": "127.0.0.1"}

    def test_bits(self):
        expected = self.folder / "threads"
        self.train(**ROUNDS, outdir=expected)
        at_port = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(free_port())}
        for name, meet in (("port", at_port), ("folder", self.in_folder("meet"))):
            outdir = self.folder / name
            codes, errors = self.end(self.start_job(4, meet, outdir=outdir))
            self.assertEqual(codes, [0] * 4, errors)
            self.assertEqual(manifest_hash(outdir, 6), manifest_hash(expected, 6))
            for rank in range(4):
                sent = [[line["sent"] for line in lines(at / f"phases-{rank}.jsonl")]
                        for at in (outdir, expected)]
                self.assertEqual(*sent)

    def test_torchrun(self):
        """The launcher itself, where one is installed that works."""
        torchrun = shutil.which("torchrun")
        if not torchrun:
            self.skipTest("torchrun is not on PATH")
        launcher = [torchrun, "--no_python", "--nnodes=1", "--master_addr=localhost"]
        found = subprocess.run([*launcher, "--nproc_per_node=1", f"--master_port={free_port()}",
                                "true"], capture_output=True, text=True, check=False,
                               timeout=PATIENCE)
        if found.returncode != 0:  # that of Debian 12 cannot start a process
            self.skipTest(f"{torchrun} does not run: {found.stderr.strip().splitlines()[-1:]}")
        settings = {**ROUNDS, "transport": "tcp", "threads": 1}
        expected = self.folder / "expected"
        self.train(**ROUNDS, outdir=expected)
        outdir = self.folder / "torchrun"
        job = subprocess.run([*launcher, "--nproc_per_node=4", f"--master_port={free_port()}",
                              *command(self.settings(**settings, outdir=outdir))],
                             env=self.environment, capture_output=True, text=True, check=False,
                             timeout=PATIENCE)
        self.assertEqual(job.returncode, 0, job.stderr)
        self.assertEqual(manifest_hash(outdir, 6), manifest_hash(expected, 6))

    def wait_for(self, file: Path, job: list[subprocess.Popen]) -> None:
        while not file.exists():
            self.assertIsNone(job[0].poll(), "the job ended by itself")

    def test_killed_worker_ends_the_job_or_is_dropped(self):
        for choice, expected in (({}, 4), ({"when_late": "drop"}, 0)):
            name = "".join(choice.values()) or "wait"
            outdir = self.folder / f"killed-{name}"
            job = self.start_job(4, self.in_folder(f"meet-{name}"), outdir=outdir, log_every=1000,
                                 iterations=100000, **choice)
            self.wait_for(checkpoint(outdir, 4), job)
            os.kill(job[3].pid, signal.SIGKILL)
            if expected == 0:
                for line in job[0].stderr:
                    if "rank 3 is taken as lost" in line:
                        break
                os.kill(job[0].pid, signal.SIGTERM)
                expected = 143
            codes, errors = self.end(job)
            self.assertEqual(codes[0], expected, errors)
            self.assertEqual(codes[3], -signal.SIGKILL)
            if not choice:
                self.assertIn("expected rank 3 to go on, found that its line has ended", errors)

    def test_refusals(self):
        codes, errors = self.end(self.start_job(2, self.in_folder("two"), outdir=self.folder / "o"))
        self.assertEqual(codes[0], 2, errors)
        self.assertIn("expected 4 processes", errors)
        codes, errors = self.end(self.start_job(4, {}, outdir=self.folder / "o"))
        self.assertEqual(codes, [2] * 4, errors)
        self.assertIn("MASTER_ADDR", errors)
        codes, errors = self.end(self.start_job(1, {}, transport="nccl", outdir=self.folder / "o"))
        self.assertEqual(codes, [2], errors)
        self.assertRegex(errors, "--transport nccl was expected with .*")
        self.assertFalse((self.folder / "o").exists())


if __name__ == "__main__":
    unittest.main()

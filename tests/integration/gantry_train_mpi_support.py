# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Jobs of gantry-train under mpirun, and their processes."""
import os
import re
import shutil
import subprocess
from pathlib import Path

from gantry_train_support import PATIENCE, PROGRAM, ProgramTest, command

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


class MpiTest(ProgramTest):
    """Runs of the program as the ranks of a job."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                            "OMPI_MCA_rmaps_base_oversubscribe": "1"}

    def start_job(self, ranks: int, mpirun: tuple[str, ...] = (), **given) -> subprocess.Popen:
        """`mpirun` are flags of mpirun itself."""
        settings = self.settings(**{**ROUNDS, "transport": "mpi", "threads": 1, **given})
        return subprocess.Popen(["mpirun", *mpirun, "-n", str(ranks), *command(settings)],
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

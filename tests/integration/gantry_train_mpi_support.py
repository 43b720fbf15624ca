# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Jobs of gantry-train under mpirun, and their processes."""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

from gantry_train_support import PROGRAM, ProgramTest, checkpoint, command

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


def of_session(leader: int) -> list[int]:
    """Processes that have not ended, of the session of a job that start_job has started; also those
    that have lost their parent."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, session = path.read_text().rsplit(")", 1)[1].split()[:4]
            if int(session) == leader and state not in "ZX":
                found.append(int(path.parent.name))
    return found


def kill_all(job: subprocess.Popen) -> None:
    for pid in of_session(job.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class MpiTest(ProgramTest):
    """Runs of the program as the ranks of a job, of which none outlives its test."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                            "OMPI_MCA_rmaps_base_oversubscribe": "1"}

    def start_job(self, ranks: int, mpirun: tuple[str, ...] = (), **given) -> subprocess.Popen:
        """`mpirun` are flags of mpirun itself."""
        settings = self.settings(**{**ROUNDS, "transport": "mpi", "threads": 1, **given})
        job = subprocess.Popen(["mpirun", *mpirun, "-n", str(ranks), *command(settings)],
                               env=self.environment, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, start_new_session=True)
        self.addCleanup(self.clear, job)
        return job

    @staticmethod
    def clear(job: subprocess.Popen) -> None:
        kill_all(job)
        job.wait()
        job.stdout.close()
        job.stderr.close()

    def end_of(self, job: subprocess.Popen) -> tuple[str, str]:
        """What a job prints until all of its ranks have ended. An mpirun that then does not end
        itself is killed: that is Open MPI's fault."""
        begin, ranks_seen = time.monotonic(), None
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return job.communicate(timeout=0.5)
            now = time.monotonic()
            if any(rank_of(pid) is not None for pid in of_session(job.pid)):
                ranks_seen = now
            hangs = now - begin > self.patience
            if hangs or (ranks_seen is not None and now - ranks_seen > 15):
                left = {pid: rank_of(pid) for pid in of_session(job.pid)}
                kill_all(job)
                out, errors = job.communicate()
                if hangs:
                    self.fail(f"the job did not end in {self.patience} s, its processes and their "
                              f"ranks: {left}\n{out}\n{errors}")
                return out, errors

    def run_job(self, ranks: int, **given) -> tuple[int, str]:
        job = self.start_job(ranks, **given)
        errors = self.end_of(job)[1]
        return job.returncode, errors

    def pid_of(self, job: subprocess.Popen, rank: int) -> int:
        return next(p for p in descendants(job.pid) if rank_of(p) == rank)

    def await_checkpoint(self, job: subprocess.Popen, outdir: Path, iteration: int) -> None:
        begin = time.monotonic()
        while not checkpoint(outdir, iteration).exists():
            self.assertIsNone(job.poll(), "the job ended by itself")
            self.assertLess(time.monotonic() - begin, self.patience, "the job hangs")
            time.sleep(0.01)

    def read_until(self, job: subprocess.Popen, pattern: str) -> str:
        hangs = threading.Timer(self.patience, kill_all, (job,))
        hangs.start()
        try:
            for line in job.stderr:
                if re.search(pattern, line):
                    return line
        finally:
            hangs.cancel()
        self.fail(f"the job ended with {job.wait()} and without a line like {pattern}")

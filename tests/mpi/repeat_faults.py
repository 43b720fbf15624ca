#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Faults of gantry-train over MPI, again and again: any rank is killed, any is stopped, a worker
computes ten times slower. Each must be named, and no job may hang.

GANTRY_FAULT_REPETITIONS says how often, all kinds together; without it the test is skipped.
GANTRY_FAULT_KINDS=killed,stopped leaves out what needs a machine of its own. Prints how long it
took until the culprit was named (docs/12_transports.md).
"""
import contextlib
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

REPETITIONS = int(os.environ.get("GANTRY_FAULT_REPETITIONS", "0"))
SKIPPED = 77
if REPETITIONS < 1:
    print("skipped: set GANTRY_FAULT_REPETITIONS to the number of faults to run (200)")
    sys.exit(SKIPPED)
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

# pylint: disable=wrong-import-position
from gantry_train_mpi_support import MISSING, descendants, rank_of  # noqa: E402
from gantry_train_support import MODEL, PROGRAM, lines, write_data  # noqa: E402

RANKS = 4
HANGS = 300  # seconds after which a job is said to hang
SLICE = 0.1  # seconds, of which a slow rank may use a tenth
KILLED, STOPPED, SLOW = "killed", "stopped", "slow"


class Job:
    """mpirun with gantry-train, whose stderr is kept with the time of each line."""

    def __init__(self, folder: Path, outdir: Path, **given):
        settings = {"data-dir": folder / "data", "model": MODEL, "workers": RANKS - 1, "batch": 4,
                    "threads": 1, "metrics": "none", "log-every": 1, "swap-every": "2it", "k": 2,
                    "transport": "mpi", "outdir": outdir, **given}
        words = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith("GANTRY_")}
        environment |= {"HOME": str(folder), "OMPI_ALLOW_RUN_AS_ROOT": "1",
                        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                        "OMPI_MCA_rmaps_base_oversubscribe": "1"}
        self.outdir = outdir
        self.errors: list[tuple[float, str]] = []
        self.process = subprocess.Popen(["mpirun", "-n", str(RANKS), PROGRAM, *words],
                                        env=environment, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self) -> None:
        for line in self.process.stderr:
            self.errors.append((time.monotonic(), line))

    def text(self) -> str:
        return "".join(line for _, line in self.errors)

    def wait_for(self, what: str, found) -> float | None:
        """Waits until found() is true; None if the job ended without it."""
        begin = time.monotonic()
        while not found():
            if self.process.poll() is not None:
                self.reader.join()
                return time.monotonic() if found() else None
            if time.monotonic() - begin > HANGS:
                raise AssertionError(f"waited {HANGS} s for {what}\n{self.text()}")
            time.sleep(0.01)
        return time.monotonic()

    def wait_for_rounds(self) -> None:
        log = self.outdir / "stats.jsonl"
        if self.wait_for("the first round", lambda: log.exists() and log.stat().st_size) is None:
            raise AssertionError(f"the job ended before its first round\n{self.text()}")

    def named_after(self, pattern: str, begin: float) -> float:
        """Seconds from `begin` until a line of stderr said so."""
        def found():
            return next((at for at, line in list(self.errors) if re.search(pattern, line)), None)
        self.wait_for(f"a line like {pattern}", found)
        if found() is None:
            raise AssertionError(f"the job ended with {self.process.returncode} and without a line "
                                 f"like {pattern}\n{self.text()}")
        return found() - begin

    def end(self) -> int:
        try:
            code = self.process.wait(HANGS)
        except subprocess.TimeoutExpired as e:
            raise AssertionError(f"the job did not end in {HANGS} s\n{self.text()}") from e
        self.reader.join()
        return code

    def pid_of(self, rank: int) -> int:
        return next(p for p in descendants(self.process.pid) if rank_of(p) == rank)

    def clear(self) -> None:
        """Leaves nothing behind, a stopped process neither."""
        if self.process.poll() is None:
            for pid in [*descendants(self.process.pid), self.process.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.reader.join()


@contextlib.contextmanager
def stopped(pid: int):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # the job has ended
            os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def slowed(pid: int):
    """The process computes for a tenth of each slice."""
    over = threading.Event()

    def throttle() -> None:
        with contextlib.suppress(ProcessLookupError):
            while not over.is_set():
                os.kill(pid, signal.SIGSTOP)
                over.wait(0.9 * SLICE)
                os.kill(pid, signal.SIGCONT)
                over.wait(0.1 * SLICE)

    thread = threading.Thread(target=throttle)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def local_steps(folder: Path) -> int:
    """Steps of a worker that make a round last a second, and ten on one that is slow."""
    steps = 3
    job = Job(folder, folder / "measure", iterations=6, **{"local-steps": steps})
    try:
        if job.end() != 0:
            raise AssertionError(job.text())
    finally:
        job.clear()
    spent = [line["seconds"] for line in lines(folder / "measure" / "phases-1.jsonl")]
    own = min(sum(value for name, value in phases.items() if name != "wait") for phases in spent)
    return max(1, round(steps / own))  # by the round that others disturbed least


def fault(kind: str, folder: Path, steps: int, draw: random.Random) -> float:
    """One job with one fault; returns the seconds until the culprit was named."""
    # Whether rank 0 is slow or has more to do, nobody can tell.
    victim = draw.randrange(1 if kind == SLOW else 0, RANKS)
    outdir = folder / "run"
    shutil.rmtree(outdir, ignore_errors=True)
    given = {KILLED: {"iterations": 1_000_000, "log-every": 50},
             STOPPED: {"iterations": 60},
             SLOW: {"iterations": 3, "local-steps": steps}}[kind]
    job = Job(folder, outdir, **given)
    try:
        job.wait_for_rounds()
        if kind != SLOW:
            time.sleep(draw.uniform(0, 0.2))
        pid, begin = job.pid_of(victim), time.monotonic()
        if kind == KILLED:
            os.kill(pid, signal.SIGKILL)
            seconds = job.named_after(rf"process rank {victim} .*signal 9", begin)
            if job.end() == 0:
                raise AssertionError(f"the job lost rank {victim} and ended with 0\n{job.text()}")
            return seconds
        late = rf"has waited \d+ s for .*\brank {victim}\b"
        with stopped(pid) if kind == STOPPED else slowed(pid):
            seconds = job.named_after(late, begin)
        if job.end() != 0:
            raise AssertionError(f"rank {victim} was {kind} and the job failed\n{job.text()}")
        return seconds
    finally:
        job.clear()


def main() -> int:
    if MISSING:
        print(f"skipped: {MISSING}")
        return SKIPPED
    for stop in (signal.SIGINT, signal.SIGTERM):  # ends with what is known so far
        signal.signal(stop, signal.default_int_handler)
    kinds = os.environ.get("GANTRY_FAULT_KINDS", f"{KILLED},{STOPPED},{SLOW}").split(",")
    if unknown := set(kinds) - {KILLED, STOPPED, SLOW}:
        print(f"GANTRY_FAULT_KINDS was expected to be of killed, stopped, slow and has {unknown}")
        return 1
    draw, seconds = random.Random(1), {kind: [] for kind in kinds}
    failures = []
    with tempfile.TemporaryDirectory(prefix="gantry-faults-") as name:
        folder = Path(name)
        write_data(folder / "data")
        steps = local_steps(folder) if SLOW in kinds else 0
        for i in range(REPETITIONS):
            kind = list(seconds)[i % len(seconds)]
            try:
                seconds[kind].append(fault(kind, folder, steps, draw))
            except AssertionError as e:
                failures.append(f"repetition {i + 1}, {kind}: {e}")
                print(failures[-1], flush=True)
            except KeyboardInterrupt:
                break
    for kind, named in seconds.items():
        if named:
            print(f"{kind}: {len(named)} named, after {statistics.median(named):.1f} s (median), "
                  f"{max(named):.1f} s (longest)")
    total = len(failures) + sum(map(len, seconds.values()))
    print(f"{total} repetitions, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""gantry-train over MPI between two network namespaces, as between two machines: the server in one,
the workers in the other, a pair of veth devices between them, plain and with delay and loss.

The checkpoint must have the hash of a run over threads, and what the run says that it sent must be
what the devices carried, protocol apart. Runs with GANTRY_NAMESPACES=1 and needs root, ip and tc;
what is missing is said, and its part is skipped.
"""
import os
import shlex
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

SKIPPED = 77
if os.environ.get("GANTRY_NAMESPACES") != "1":
    print("skipped: set GANTRY_NAMESPACES=1 to make network namespaces on this machine")
    sys.exit(SKIPPED)
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

# pylint: disable=wrong-import-position
from gantry_train_mpi_test import MISSING  # noqa: E402
from gantry_train_support import (PATIENCE, ProgramTest, command, lines,  # noqa: E402
                                  manifest_hash)

NET, ADDRESSES = "10.199.77.0/24", ("10.199.77.1", "10.199.77.2")
SPACES = tuple(f"gantry-{os.getpid()}-{side}" for side in "ab")
DEVICES = tuple(f"g{os.getpid()}{side}" for side in "ab")
NETEM = ["netem", "delay", "5ms", "1ms", "loss", "1%"]
# All that is sent crosses the link: workers do not talk to each other.
ROUNDS = {"workers": 2, "swap_every": "1000000it", "k": 2, "batch": 64, "log_every": 1}
SHORT, LONG = 5, 25  # iterations; their difference is free of what starting a job costs


def call(*words: str) -> str:
    """Empty if it went well, else what is wrong."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return f"{words[0]} is missing"
    return "" if done.returncode == 0 else f"{shlex.join(words)}: {done.stderr.strip()}"


def inside(side: int, *words: str) -> list[str]:
    return ["ip", "netns", "exec", SPACES[side], *words]


def make_spaces() -> str:
    """Two namespaces with an address each; what is wrong, or nothing."""
    steps = [["ip", "netns", "add", space] for space in SPACES]
    steps.append(["ip", "link", "add", DEVICES[0], "netns", SPACES[0], "type", "veth",
                  "peer", "name", DEVICES[1], "netns", SPACES[1]])
    for side in (0, 1):
        steps += [inside(side, "ip", "address", "add", ADDRESSES[side] + "/24",
                         "dev", DEVICES[side]),
                  inside(side, "ip", "link", "set", DEVICES[side], "up"),
                  inside(side, "ip", "link", "set", "lo", "up")]
    return next((wrong for step in steps if (wrong := call(*step))), "")


def remove_spaces() -> None:
    for space in SPACES:
        call("ip", "netns", "delete", space)


def carried() -> int:
    """Bytes that the server's device has sent and received."""
    def counter(which: str) -> int:
        path = f"/sys/class/net/{DEVICES[0]}/statistics/{which}_bytes"
        return int(subprocess.run(inside(0, "cat", path), capture_output=True, text=True,
                                  check=True).stdout)
    return counter("tx") + counter("rx")


def sent(outdir: Path, ranks: int) -> int:
    """Bytes of messages, as the ranks counted them."""
    return sum(sum(line["sent"].values()) for rank in range(ranks)
               for line in lines(outdir / f"phases-{rank}.jsonl"))


@unittest.skipIf(MISSING, MISSING)
class TwoNamespaces(ProgramTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.addClassCleanup(remove_spaces)
        if wrong := make_spaces():
            raise unittest.SkipTest(f"no two namespaces on this machine: {wrong}")
        # What mpirun calls instead of ssh: the other namespace, with a name of its own.
        cls.agent = cls.folder / "agent"
        cls.agent.write_text(f"#!/bin/sh\nshift\nexec {shlex.join(inside(1))} unshare --uts sh -c "
                             '"hostname gantry-b && $*"\n')
        cls.agent.chmod(0o755)
        cls.environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                            "OMPI_MCA_rmaps_base_oversubscribe": "1",
                            "OMPI_MCA_plm_rsh_agent": str(cls.agent),
                            "OMPI_MCA_btl": "tcp,self", "OMPI_MCA_pml": "ob1",
                            "OMPI_MCA_btl_tcp_if_include": NET,
                            "OMPI_MCA_oob_tcp_if_include": NET}

    def run_job(self, outdir: Path, iterations: int) -> tuple[int, int]:
        """Bytes that were sent, and that the link carried."""
        before, ranks = carried(), ROUNDS["workers"] + 1
        hosts = f"{ADDRESSES[0]}:1,{ADDRESSES[1]}:{ranks - 1}"
        words = command(self.settings(**ROUNDS, transport="mpi", threads=1, iterations=iterations,
                                      outdir=outdir))
        done = subprocess.run(inside(0, "mpirun", "-n", str(ranks), "--host", hosts, *words),
                              env=self.environment, capture_output=True, text=True,
                              timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return sent(outdir, ranks), carried() - before

    def check_link(self, name: str, overhead: float) -> None:
        over_threads = self.folder / "threads"
        if not over_threads.exists():
            self.train(**ROUNDS, iterations=LONG, outdir=over_threads)
        short = self.run_job(self.folder / f"{name}-short", SHORT)
        long = self.run_job(self.folder / name, LONG)
        self.assertEqual(manifest_hash(self.folder / name, LONG), manifest_hash(over_threads, LONG))
        counted, seen = long[0] - short[0], long[1] - short[1]
        print(f"{name}: {LONG - SHORT} iterations sent {counted} bytes, the link carried {seen} "
              f"({100 * (seen / counted - 1):.2f} % more)")
        self.assertGreater(counted, 0)
        self.assertGreaterEqual(seen, counted)
        self.assertLess(seen, overhead * counted)

    def test_plain(self):
        # Headers of frames of 1500 bytes are 4.6 % of what they hold, acknowledgements half of it.
        self.check_link("veth", 1.08)

    def test_delay_and_loss(self):
        for side in (0, 1):
            if wrong := call(*inside(side, "tc", "qdisc", "replace", "dev", DEVICES[side], "root",
                                     *NETEM)):
                self.skipTest(f"no delay and loss on this machine: {wrong}")
        self.check_link("netem", 1.12)  # and what is lost is sent again


if __name__ == "__main__":
    shutil.which("unshare") or sys.exit("unshare was expected and is missing; install util-linux")
    unittest.main(verbosity=2)

#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""gantry-train over MPI between two network namespaces, as between two machines: the server in one,
the workers in the other, a pair of veth devices between them, plain and with delay and loss (by
netem, or by a link of our own where the kernel has none).

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
from dataclasses import dataclass
from pathlib import Path

SKIPPED = 77
if os.environ.get("GANTRY_NAMESPACES") != "1":
    print("skipped: set GANTRY_NAMESPACES=1 to make network namespaces on this machine")
    sys.exit(SKIPPED)
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

# pylint: disable=wrong-import-position
from delayed_link import DelayedLink  # noqa: E402
from gantry_train_mpi_support import MISSING  # noqa: E402
from gantry_train_support import (PATIENCE, ProgramTest, command, lines,  # noqa: E402
                                  manifest_hash)

SPACES = tuple(f"gantry-{os.getpid()}-{side}" for side in "ab")


@dataclass(frozen=True)
class Link:
    """A device in each namespace."""
    devices: tuple[str, str]
    network: str  # the first three bytes of its addresses

    def address(self, side: int) -> str:
        return f"{self.network}.{side + 1}"

    def carried(self) -> int:
        """Bytes that the server's device has sent and received."""
        folder = f"/sys/class/net/{self.devices[0]}/statistics"
        counters = inside(0, "cat", f"{folder}/tx_bytes", f"{folder}/rx_bytes")
        return sum(map(int, subprocess.run(counters, capture_output=True, text=True,
                                           check=True).stdout.split()))

    def set_up(self) -> str:
        """Addresses for devices that are there; what is wrong, or nothing."""
        return first_wrong([step for side in (0, 1) for step in (
            inside(side, "ip", "address", "add", f"{self.address(side)}/24",
                   "dev", self.devices[side]),
            inside(side, "ip", "link", "set", self.devices[side], "up"),
            inside(side, "ip", "link", "set", "lo", "up"))])


VETH = Link(tuple(f"g{os.getpid()}{side}" for side in "ab"), "10.199.77")
TAP = Link(tuple(f"g{os.getpid()}{side}" for side in "cd"), "10.199.78")
DELAY, JITTER, LOSS = 0.005, 0.001, 0.01  # seconds, seconds, of frames
NETEM = ["netem", "delay", f"{DELAY * 1e3}ms", f"{JITTER * 1e3}ms", "loss", f"{LOSS * 100}%"]
RATE = ["tbf", "rate", "400mbit", "burst", "256kb", "limit", "16mb"]
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


def first_wrong(steps: list[list[str]]) -> str:
    return next((wrong for step in steps if (wrong := call(*step))), "")


def make_spaces() -> str:
    """Two namespaces joined by veth; what is wrong, or nothing."""
    return first_wrong([
        *(["ip", "netns", "add", space] for space in SPACES),
        ["ip", "link", "add", VETH.devices[0], "netns", SPACES[0], "type", "veth",
         "peer", "name", VETH.devices[1], "netns", SPACES[1]]]) or VETH.set_up()


def remove_spaces() -> None:
    for space in SPACES:
        call("ip", "netns", "delete", space)


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
                            "OMPI_MCA_btl": "tcp,self", "OMPI_MCA_pml": "ob1"}

    def run_job(self, link: Link, outdir: Path, iterations: int, **given) -> tuple[int, int]:
        """Bytes that were sent, and that the link carried."""
        before, ranks = link.carried(), ROUNDS["workers"] + 1
        hosts = f"{link.address(0)}:1,{link.address(1)}:{ranks - 1}"
        network = {f"OMPI_MCA_{layer}_tcp_if_include": f"{link.network}.0/24"
                   for layer in ("btl", "oob")}
        words = command(self.settings(**{**ROUNDS, "transport": "mpi", "threads": 1,
                                         "iterations": iterations, "outdir": outdir, **given}))
        done = subprocess.run(inside(0, "mpirun", "-n", str(ranks), "--host", hosts, *words),
                              env=self.environment | network, capture_output=True, text=True,
                              timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return sent(outdir, ranks), link.carried() - before

    def check_link(self, link: Link, name: str, overhead: float) -> None:
        over_threads = self.folder / "threads"
        if not over_threads.exists():
            self.train(**ROUNDS, iterations=LONG, outdir=over_threads)
        short = self.run_job(link, self.folder / f"{name}-short", SHORT)
        long = self.run_job(link, self.folder / name, LONG)
        self.assertEqual(manifest_hash(self.folder / name, LONG), manifest_hash(over_threads, LONG))
        counted, seen = long[0] - short[0], long[1] - short[1]
        print(f"{name}: {LONG - SHORT} iterations sent {counted} bytes, the link carried {seen} "
              f"({100 * (seen / counted - 1):.2f} % more)")
        self.assertGreater(counted, 0)
        self.assertGreaterEqual(seen, counted)
        self.assertLess(seen, overhead * counted)

    def test_plain(self):
        # Headers of frames of 1500 bytes are 4.6 % of what they hold, acknowledgements half of it.
        self.check_link(VETH, "veth", 1.08)

    def test_with_delay_and_loss(self):
        wrong = first_wrong([inside(side, "tc", "qdisc", "replace", "dev", VETH.devices[side],
                                    "root", *NETEM) for side in (0, 1)])
        if not wrong:
            return self.check_link(VETH, "netem", 1.15)  # and what is lost is sent again
        print(f"no netem on this machine: {wrong}")
        try:
            link = DelayedLink(TAP.devices, DELAY, JITTER, LOSS)
        except OSError as e:
            return self.skipTest(f"no netem ({wrong}) and no TAP devices ({e}) on this machine")
        self.addCleanup(link.close)
        moves = [["ip", "link", "set", device, "netns", space]
                 for device, space in zip(TAP.devices, SPACES)]
        self.assertEqual(first_wrong(moves) or TAP.set_up(), "")
        link.start()  # devices that are down refuse frames
        self.check_link(TAP, "delayed link", 1.15)
        print(f"{link.lost} frames were lost")
        self.assertGreater(link.lost, 0)

    def test_layers_that_travel_behind_compute(self):
        """layerwise_overlap over a link of 50 MB/s: the same bits whatever is hidden."""
        if wrong := first_wrong([inside(side, "tc", "qdisc", "replace", "dev", VETH.devices[side],
                                        "root", *RATE) for side in (0, 1)]):
            return self.skipTest(f"no tbf on this machine: {wrong}")
        for side in (0, 1):
            self.addCleanup(call, *inside(side, "tc", "qdisc", "delete", "dev", VETH.devices[side],
                                          "root"))
        hashes = set()
        for way in ("blocking", "ready", "input-first"):
            outdir = self.folder / way
            self.run_job(VETH, outdir, LONG, strategy="layerwise_overlap", overlap=way,
                         swap_every=None, k=None, local_steps=2)
            log = lines(outdir / "stats.jsonl")[1:]  # the first way is that of begin
            hidden, exposed = (sum(line[f"seconds_{part}"] for line in log)
                               for part in ("hidden", "exposed"))
            share = hidden / (hidden + exposed)
            print(f"{way}: {100 * share:.1f} % hidden, "
                  f"{1e3 * (hidden + exposed) / len(log):.1f} ms on the way per round")
            self.assertTrue(0 <= share <= 1)
            hashes.add(manifest_hash(outdir, LONG))
        self.assertEqual(len(hashes), 1)


if __name__ == "__main__":
    shutil.which("unshare") or sys.exit("unshare was expected and is missing; install util-linux")
    unittest.main(verbosity=2)

#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""The job files of examples/cluster say what gantry-train understands; no cluster is needed."""
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from gantry_train_support import PROGRAM

CLUSTER = Path(__file__).resolve().parents[2] / "examples" / "cluster"


def dry_run(words: list[str]) -> subprocess.CompletedProcess:
    """The same run in one process, without data: every flag is parsed and the plan is printed."""
    words = ["threads" if word == "mpi" else word for word in words]
    with tempfile.TemporaryDirectory() as out:
        words[words.index("--outdir") + 1] = out
        return subprocess.run([PROGRAM, *words, "--dry-run"], capture_output=True, text=True,
                              timeout=60)


class ClusterFiles(unittest.TestCase):
    def assert_plans(self, words: list[str]) -> None:
        result = dry_run(words)
        self.assertEqual(result.returncode, 0, result.stderr)
        plan = json.loads(result.stdout)
        self.assertEqual((plan["strategy"], plan["workers"]), ("md_gan", 8))

    def test_slurm(self):
        script = CLUSTER / "gantry.sbatch"
        subprocess.run(["bash", "-n", str(script)], check=True)
        if shutil.which("shellcheck"):
            subprocess.run(["shellcheck", str(script)], check=True)
        # srun stands for its arguments; the variables are those of an allocation of nine tasks.
        with tempfile.TemporaryDirectory() as folder:
            srun = Path(folder) / "srun"
            srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
            srun.chmod(0o755)
            environment = os.environ | {
                "PATH": f"{folder}:{os.environ['PATH']}", "HOME": folder, "SLURM_JOB_ID": "7",
                "SLURM_NTASKS": "9", "SLURM_CPUS_PER_TASK": "1", "PROGRAM": PROGRAM}
            found = subprocess.run(["bash", str(script)], env=environment, check=True,
                                   capture_output=True, text=True).stdout.split("\n")
        self.assertEqual(found[:2], ["--mpi=pmix", PROGRAM])
        self.assertIn("--transport", found)
        tasks = re.search(r"--ntasks=(\d+)", script.read_text()).group(1)
        self.assertEqual(tasks, "9")
        self.assert_plans([word for word in found[2:] if word])

    def test_kubernetes(self):
        try:
            import yaml
        except ImportError:
            self.skipTest("PyYAML is not installed")
        job = yaml.safe_load((CLUSTER / "mpijob.yaml").read_text())
        replicas = job["spec"]["mpiReplicaSpecs"]
        command = replicas["Launcher"]["template"]["spec"]["containers"][0]["command"]
        self.assertEqual(command[0], "mpirun")
        ranks = int(command[command.index("-n") + 1])
        self.assertEqual(ranks, replicas["Worker"]["replicas"])
        self.assertEqual(ranks, 1 + int(command[command.index("--workers") + 1]))
        self.assert_plans(command[command.index("gantry-train") + 1:])


if __name__ == "__main__":
    unittest.main()

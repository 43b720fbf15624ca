#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Settings of gantry-train: a flag wins over the environment, that over --config, that over the
default; the run says where each came from and leaves a file that repeats it."""
import json
import subprocess
import unittest
from pathlib import Path

from gantry_train_support import (MODEL, PATIENCE, PROGRAM, ProgramTest, manifest_hash, names,
                                  snapshot)

try:
    import tomllib
except ImportError:
    tomllib = None


class Config(ProgramTest):
    def setUp(self):
        self.file = self.folder / "settings.toml"

    def configured(self, text: str, *words, **variables) -> subprocess.CompletedProcess:
        self.file.write_text(text)
        return subprocess.run([PROGRAM, "--config", str(self.file), *map(str, words)],
                              env={**self.environment, **variables}, capture_output=True,
                              text=True, timeout=PATIENCE)

    def plan(self, text: str, *words, **variables) -> dict:
        result = self.configured(text, "--dry-run", *words, **variables)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return json.loads(result.stdout)

    def refuse(self, text: str, *fragments, words=(), **variables) -> None:
        self.assert_refused(self.configured(text, "--quiet", *words, **variables), 2, *fragments)

    def test_the_nearer_place_wins(self):
        text = f'model = "{MODEL}"\nbatch = 5\nseed = 6\nlr_g = 1e-3 # as lr-g\n'
        here = str(self.file)
        for words, variables, batch, source in (
                ((), {}, 5, here),
                ((), {"GANTRY_BATCH": "7"}, 7, "GANTRY_BATCH"),
                (("--batch", 9), {}, 9, "the command line"),
                (("--batchSize=9",), {"GANTRY_BATCH": "7"}, 9, "the command line"),
                ((), {"GANTRY_BATCH": ""}, 5, here)):
            with self.subTest(words=words, variables=variables):
                plan = self.plan(text, *words, **variables)
                self.assertEqual((plan["batch"], plan["sources"]["batch"]), (batch, source))
                self.assertEqual((plan["seed"], plan["lr_g"], plan["beta1"]), (6, 1e-3, 0.5))
                self.assertEqual(plan["sources"]["lr-g"], here)
                self.assertNotIn("beta1", plan["sources"])

    def test_environment_alone(self):
        result = subprocess.run([PROGRAM, "--dry-run"], capture_output=True, text=True,
                                env={**self.environment, "GANTRY_LR_D": "0.01",
                                     "GANTRY_QUIET": "true"}, timeout=PATIENCE)
        plan = json.loads(result.stdout)
        self.assertEqual((plan["lr_d"], plan["sources"]["lr-d"]), (0.01, "GANTRY_LR_D"))
        self.file.write_text("batch = 3\n")
        result = subprocess.run([PROGRAM, "--dry-run"], capture_output=True, text=True,
                                env={**self.environment, "GANTRY_CONFIG": str(self.file)},
                                timeout=PATIENCE)
        self.assertEqual(json.loads(result.stdout)["batch"], 3)

    def test_kinds_of_values(self):
        plan = self.plan("# a comment\n\n  workers = 3\nk = 'log'\t# another\nquiet = true\r\n"
                         'stop-worker = [ "1@2",\n  "2@3", ] # two\noutdir = "a \\"b\\" \\\\ c"\n'
                         "overwrite = false\nloss = \"hinge\"")
        self.assertEqual((plan["workers"], plan["loss"], plan["outdir"]),
                         (3, "hinge", 'a "b" \\ c'))
        self.assertTrue({"stop-worker", "quiet", "overwrite"} <= set(plan["sources"]))

    def test_refusals(self):
        where = f"{self.file}, line 2: "
        for line, fragments in (
                ("bacth = 3", (where, '"bacth"', 'the nearest is "batch"')),
                ("wrkers = 3", (where, '"workers"')),
                ("config = 'x'", (where, '"config"')),
                ("xyzzy_quux = 3", (where, '"xyzzy_quux"', "--help")),
                ("seed = 4", (where, "once", '"seed"')),
                ("model = mlp28", (where, "quotes", '"mlp28"')),
                ("batch", (where, '"batch"')),
                ("[gantry-train]", (where, '"[gantry-train]"')),
                ('outdir = "a', (where, "closing")),
                ("batch = 3 4", (where, "end of the line", '"4"')),
                ("batch = 0", ("--batch", 'found "0"', f"correct it in {self.file}")),
                ("batch = [1, 2]", ("--batch", "once", str(self.file))),
                ("overwrite = 3", ("--overwrite", '"3"', str(self.file))),
                ("model = 'nonsense'", ("--model", MODEL, "nonsense"))):
            with self.subTest(line):
                self.refuse(f"seed = 1\n{line}\n", *fragments)
        self.refuse("", "--batch", 'found "x"', "correct it in GANTRY_BATCH", GANTRY_BATCH="x")
        self.refuse("clip = 1.0\n", "--clip", "wasserstein")
        none = self.folder / "none.toml"
        self.assert_refused(self.call("--config", str(none)), 3, "--config", str(none))
        self.assert_refused(self.call("--config", str(self.folder)), 3, "--config")
        self.assertEqual(self.call("--config", str(none), "--help").returncode, 0)

    def test_a_run_says_what_was_given_and_can_be_repeated(self):
        first, again = self.folder / "first", self.folder / "again"
        given = {**self.settings(iterations=3, outdir=first, seed=11, lr_g="0.0003"),
                 "batch": None}
        words = [w for key, value in given.items() if value is not None
                 for w in (f"--{key.replace('_', '-')}", str(value))[:1 if value is True else 2]]
        result = self.configured("beta1 = 0.4\n", *words, GANTRY_BATCH="6")
        self.assertEqual(result.returncode, 0, result.stderr)
        settings = [x for x in result.stdout.splitlines() if x.startswith("setting: ")]
        self.assertIn("setting: batch = 6 (GANTRY_BATCH)", settings)
        self.assertIn(f"setting: beta1 = 0.4 ({self.file})", settings)
        self.assertIn("setting: lr-g = 0.0003 (the command line)", settings)
        self.assertFalse([x for x in settings if "lr-d" in x])
        kept = (first / "config.toml").read_text()
        for line in ("batch = 6", "beta1 = 0.4", "seed = 11", "# beta2 = ", f'model = "{MODEL}"'):
            self.assertIn(f"\n{line}", kept)
        self.assertNotIn("overwrite", kept)
        if tomllib:
            parsed = tomllib.loads(kept)
            self.assertEqual((parsed["batch"], parsed["lr-g"]), (6, 0.0003))
        refused = self.call("--config", str(first / "config.toml"), "--quiet")
        self.assert_refused(refused, 2, "checkpoints", "--overwrite")
        before = snapshot(first)
        repeated = self.call("--config", str(first / "config.toml"), "--outdir", str(again))
        self.assertEqual(repeated.returncode, 0, repeated.stderr)
        self.assertEqual(manifest_hash(again, 3), manifest_hash(first, 3))
        self.assertEqual((snapshot(first), names(again)), (before, names(first)))


if __name__ == "__main__":
    unittest.main()

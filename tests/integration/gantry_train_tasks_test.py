#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""gantry-train --tasks: several GANs at once, each with its workers and a folder of its own."""
import json
import unittest

from gantry_train_support import LOG, ProgramTest, checkpoint, lines, manifest_hash, models, names

SMALL = [name for name in ("mlp28", "dcgan28") if name in models()]
COLOUR = [name for name in ("dcgan32", "resnet32", "wgan_gp32_narrow") if name in models()]


@unittest.skipUnless(len(SMALL) == 2, "this build has no two presets of one image size")
class Tasks(ProgramTest):
    @classmethod
    def start_tasks(cls, **given):
        return cls.run_program(**{"model": None, "tasks": ",".join(SMALL), "iterations": 3,
                                  "strategy": "layerwise_overlap", "grid_every": 2, **given})

    def train_tasks(self, **given):
        result = self.start_tasks(**given)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def test_each_as_if_alone(self):
        for strategy in ("layerwise_overlap", "md_gan"):
            together = self.folder / strategy
            result = self.train_tasks(outdir=together, strategy=strategy)
            self.assertEqual(names(together), {name + "/" for name in SMALL})
            for name in SMALL:
                # Nothing of one task is in the networks of the other.
                alone = self.folder / f"{strategy}-{name}"
                self.train(outdir=alone, model=name, strategy=strategy, iterations=3, grid_every=2)
                own = together / name
                self.assertEqual(manifest_hash(own, 3), manifest_hash(alone, 3))
                self.assertEqual(names(own), names(alone))
                self.assertEqual((own / "fakes000002.png").read_bytes(),
                                 (alone / "fakes000002.png").read_bytes())
                self.assertEqual([line["loss_d"] for line in lines(own / LOG)],
                                 [line["loss_d"] for line in lines(alone / LOG)])
                self.assertIn(f"\n{name}: iteration 3/3", "\n" + result.stderr)

    def test_a_folder_repeats_its_task(self):
        together, again = self.folder / "kept", self.folder / "again"
        self.train_tasks(outdir=together, seed=5)
        name = SMALL[1]
        result = self.call("--config", str(together / name / "config.toml"), "--outdir", str(again))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(manifest_hash(again, 3), manifest_hash(together / name, 3))

    def test_resume(self):
        parts, whole = self.folder / "parts", self.folder / "whole"
        self.train_tasks(outdir=parts, iterations=2)
        self.train_tasks(outdir=parts, iterations=4, resume="latest")
        self.train_tasks(outdir=whole, iterations=4)
        for name in SMALL:
            self.assertEqual(manifest_hash(parts / name, 4), manifest_hash(whole / name, 4))

    def test_plans(self):
        result = self.start_tasks(outdir=self.folder / "planned", dry_run=True)
        decoder, text, plans = json.JSONDecoder(), result.stdout, []
        while text.strip():
            plan, end = decoder.raw_decode(text)
            plans.append(plan)
            text = text[end:].lstrip()
        self.assertEqual([plan["model"] for plan in plans], SMALL)
        self.assertFalse((self.folder / "planned").exists())

    def test_one_that_is_lost_leaves_the_other(self):
        outdir = self.folder / "lost"
        result = self.start_tasks(outdir=outdir, iterations=4, quiet=True, strategy="md_gan",
                                  stop_worker=["1@2", "2@2"])
        self.assertEqual(result.returncode, 4)  # both lose their workers, each says so
        self.assertEqual(len(result.stderr.splitlines()), 2)

    def test_an_earlier_run_stays(self):
        outdir = self.folder / "earlier"
        self.train(outdir=outdir / SMALL[1], model=SMALL[1])
        result = self.start_tasks(outdir=outdir, quiet=True, overwrite=False)
        self.assert_refused(result, 2, str(checkpoint(outdir / SMALL[1], 4)), "--overwrite")
        self.assertFalse((outdir / SMALL[0]).exists())

    def test_refusals(self):
        twice = f"{SMALL[0]},{SMALL[0]}"
        cases = [({"model": SMALL[0]}, "--model"), ({"tasks": twice}, "twice"),
                 ({"tasks": "mlp28,none-such"}, "none-such"),
                 ({"strategy": "standalone"}, "standalone"), ({"transport": "mpi"}, "mpi"),
                 ({"resume": str(self.folder)}, "--resume latest"),
                 ({"sample": 4, "init_generator": "w.safetensors"}, "--sample")]
        cases += [({"tasks": f"{SMALL[0]},{name}"}, "32 x 32 x 3") for name in COLOUR[:1]]
        for given, fragment in cases:
            result = self.start_tasks(outdir=self.folder / "refused", quiet=True, **given)
            self.assert_refused(result, 2, "--tasks" if fragment != "mpi" else "", fragment)
        self.assertFalse((self.folder / "refused").exists())


if __name__ == "__main__":
    unittest.main()

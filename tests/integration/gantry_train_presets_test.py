#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Every preset of this build trains under every strategy that can train it."""
import json
import unittest

from gantry_train_support import (LOG, MODEL, ProgramTest, checkpoint, lines, models, names,
                                  write_cifar10)

ROUNDS = {"iterations": 2, "batch": 4, "workers": 2, "quiet": True}
FOR_ALL = {"standalone": {"workers": None}, "md_gan": {"k": 2},
           "federated_average": {"local_updates": 2}}
SERVED = {"averaged_discriminator": {"server_steps": 2}, "layerwise_overlap": {},
          "output_aggregation": {}}


class Presets(ProgramTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cifar = write_cifar10(cls.folder / "cifar", train=(40, 40), test=20)

    def data_for(self, model: str) -> dict | None:
        for data, folder in (("fashion-mnist", self.data), ("cifar10", self.cifar)):
            given = {"data": data, "data_dir": folder}
            if self.run_program(model=model, dry_run=True, **given).returncode == 0:
                return given
        return None

    def check_run(self, model: str, strategy: str, **given) -> None:
        outdir = self.folder / f"{model}-{strategy}"
        self.train(model=model, strategy=strategy, outdir=outdir, **{**ROUNDS, **given})
        log = lines(outdir / LOG)
        self.assertEqual([line["iteration"] for line in log], [1, 2])
        self.assertIn("generator_ema.safetensors", names(checkpoint(outdir, 2)))
        config = json.loads((checkpoint(outdir, 2) / "config.json").read_text())
        self.assertEqual((config["model"], config["strategy"]), (model, strategy))

    def test_each_under_the_strategies_for_all(self):
        for model in models():
            data = self.data_for(model)
            if data is None:
                print(f"{model} takes images that no data set here has: not run")
                continue
            for strategy, given in FOR_ALL.items():
                with self.subTest(model=model, strategy=strategy):
                    self.check_run(model, strategy, **data, **given)

    def test_one_under_the_others(self):
        model, data = MODEL, self.data_for(MODEL)
        for strategy, given in SERVED.items():
            with self.subTest(strategy):
                self.check_run(model, strategy, **data, **given)
        with self.subTest("label_parallel"):
            outdir = self.folder / "labels"
            self.train(model=model, strategy="label_parallel", outdir=outdir,
                       **{**ROUNDS, **data, "workers": None})
            self.assertEqual(lines(outdir / LOG)[-1]["workers"], 10)
            self.assertEqual(lines(outdir / LOG)[-1]["bytes_up"], 0)


if __name__ == "__main__":
    unittest.main()

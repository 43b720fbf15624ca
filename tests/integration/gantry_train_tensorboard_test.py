#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""What TensorBoard's own reader finds in the event files of a run, and of one that was resumed."""
import json
import logging
import struct
import unittest
from pathlib import Path

from gantry_train_support import LOG, MODEL, SCORES, ProgramTest, lines, models, names

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    MISSING = ""
except ImportError as reason:
    MISSING = f"expected the Python module tensorboard ({reason}); pip install tensorboard"

# The names of StyleGAN's training loop, and ours in their groups.
STYLEGAN = {"Loss/G/loss", "Loss/D/loss", "Progress/tick", "Progress/kimg", "Timing/sec_per_tick",
            "Timing/sec_per_kimg", "Timing/total_sec", "Timing/maintenance_sec",
            "Resources/cpu_mem_gb", "Metrics/fid", "Loss/scores/real", "Loss/scores/fake",
            "Loss/signs/real", "Loss/signs/fake", "Progress/augment"}
OURS = {"Progress/iteration", "Timing/images_per_sec", "Metrics/classifier_score", "Workers/alive",
        "Comm/bytes_down", "Comm/bytes_up", "Comm/bytes_swap", "Comm/wait_sec",
        "Comm/worker_wait_sec"}
USES = ("compute", "wait", "exchange")
NAME = "events.out.tfevents.*"


@unittest.skipIf(MISSING, MISSING)
class ReadByTensorBoard(ProgramTest):
    workers, batch = 2, 25  # 50 images per iteration

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.given = {"workers": cls.workers, "batch": cls.batch, "iterations": 60, "log_every": 20,
                     "grid_every": 30, "metrics": "fid", "metric_samples": 50,
                     "outdir": cls.folder / "run"}
        result = cls.run_program(**cls.given)
        assert result.returncode == 0, result.stderr
        cls.outdir = cls.given["outdir"]
        cls.events = cls.read(cls.outdir)

    @staticmethod
    def read(folder: Path) -> "EventAccumulator":
        events = EventAccumulator(str(folder), size_guidance={"images": 0, "histograms": 0,
                                                              "scalars": 0, "tensors": 0})
        return events.Reload()

    def scalars(self, tag: str) -> list[tuple[int, float]]:
        return [(e.step, e.value) for e in self.events.Scalars(tag)]

    def assert_floats(self, found: list[float], expected: list[float]) -> None:
        """Equal as 32-bit numbers."""
        def rounded(x: float) -> float:
            return struct.unpack("f", struct.pack("f", x))[0]
        self.assertEqual(found, [rounded(x) for x in expected])

    def test_tags(self):
        details = {f"Workers/{n}/{use}_sec" for n in (1, 2) for use in USES}
        self.assertEqual(set(self.events.Tags()["scalars"]), STYLEGAN | OURS | details)
        self.assertEqual(set(self.events.Tags()["images"]), {"Samples/real", "Samples/generated"})
        self.assertEqual(set(self.events.Tags()["tensors"]), {"Config/settings", "Config/data"})

    def test_same_numbers_as_in_the_log(self):
        log = lines(self.outdir / LOG)
        for tag, key in (("Loss/G/loss", "loss_g"), ("Loss/D/loss", "loss_d"),
                         ("Progress/kimg", "kimg"), ("Progress/iteration", "iteration"),
                         ("Timing/total_sec", "seconds"), ("Workers/alive", "workers"),
                         ("Timing/maintenance_sec", "seconds_maintenance"),
                         ("Timing/images_per_sec", "images_per_second"),
                         ("Resources/cpu_mem_gb", "cpu_mem_gb"),
                         ("Loss/scores/real", "scores_real"), ("Loss/scores/fake", "scores_fake"),
                         ("Loss/signs/real", "signs_real"), ("Loss/signs/fake", "signs_fake"),
                         ("Progress/augment", "augment"),
                         ("Comm/bytes_down", "bytes_down"), ("Comm/bytes_up", "bytes_up"),
                         ("Comm/bytes_swap", "bytes_swap")):
            with self.subTest(tag):
                self.assertEqual([step for step, _ in self.scalars(tag)], [1, 2, 3])  # kimg
                self.assert_floats([v for _, v in self.scalars(tag)], [x[key] for x in log])
        scores = lines(self.outdir / SCORES)
        self.assert_floats([v for _, v in self.scalars("Metrics/fid")], [x["fid"] for x in scores])
        self.assertEqual([step for step, _ in self.scalars("Metrics/fid")], [0, 1, 3])
        self.assertTrue(all(x["cpu_mem_gb"] > 0 for x in log))
        for n in (1, 2):
            used = [sum(self.scalars(f"Workers/{n}/{use}_sec")[i][1] for use in USES)
                    for i in range(2)]
            self.assertTrue(all(x > 0 for x in used), used)

    def test_pictures(self):
        found = self.events.Images("Samples/generated")
        self.assertEqual([e.step for e in found], [0, 1, 3])
        for event, name in zip(found, ("fakes_init", "fakes000030", "fakes000060")):
            self.assertEqual(event.encoded_image_string, (self.outdir / f"{name}.png").read_bytes())
            self.assertEqual((event.width, event.height), (242, 242))
        self.assertEqual(self.events.Images("Samples/real")[0].encoded_image_string,
                         (self.outdir / "reals.png").read_bytes())

    def test_weights(self):
        tags = self.events.Tags()["histograms"]
        self.assertTrue(all(tag.startswith("Weights/generator/") for tag in tags), tags)
        total = 0
        for tag in tags:
            histograms = self.events.Histograms(tag)
            self.assertEqual([h.step for h in histograms], [1, 3])
            last = histograms[-1].histogram_value
            self.assertEqual(sum(last.bucket), last.num)
            self.assertEqual(len(last.bucket), len(last.bucket_limit))
            self.assertEqual(list(last.bucket_limit), sorted(last.bucket_limit))
            self.assertLessEqual(last.min, last.sum / last.num)
            self.assertEqual(last.bucket_limit[-1], last.max)
            total += last.num
        if MODEL == "mlp28":
            self.assertEqual(total, 716560)

    def test_configuration(self):
        text = tensor_util.make_ndarray(
            self.events.Tensors("Config/settings")[0].tensor_proto).item().decode()
        self.assertIn("| seed | 0 |", text)
        self.assertIn(f"| model | {MODEL} |", text)
        self.assertIn("| strategy | md\\_gan |", text)
        plugin = self.events.SummaryMetadata("Config/settings").plugin_data.plugin_name
        self.assertEqual(plugin, "text")

    def test_resumed_run_goes_on(self):
        given = {**self.given, "tensorboard": "iteration"}
        outdir, whole = self.folder / "resumed", self.folder / "whole"
        self.train(**{**given, "outdir": whole})
        self.train(**{**given, "outdir": outdir, "save_every": 20})
        # As if the run had been killed behind its first checkpoint.
        for iteration in (40, 60):
            (outdir / f"network-snapshot-{iteration:06d}" / "MANIFEST.json").unlink()
        self.train(**{**given, "outdir": outdir}, resume="latest")
        self.assertEqual(len(list(outdir.glob(NAME))), 2)
        found, expected = self.read(outdir), self.read(whole)
        for tag in ("Loss/G/loss", "Loss/D/loss", "Metrics/fid", "Comm/bytes_up"):
            self.assertEqual([(e.step, e.value) for e in found.Scalars(tag)],
                             [(e.step, e.value) for e in expected.Scalars(tag)], tag)
        for events in (found, expected):
            self.assertEqual([e.step for e in events.Images("Samples/generated")], [0, 30, 60])

    def test_other_axis_and_none(self):
        outdir = self.folder / "axis"
        self.train(outdir=outdir, iterations=3, log_every=1, tensorboard="iteration", batch=2)
        found = self.read(outdir).Scalars("Loss/D/loss")
        self.assertEqual([e.step for e in found], [1, 2, 3])
        self.train(outdir=outdir, iterations=1, tensorboard="off")
        self.assertEqual(list(outdir.glob(NAME)), [])
        self.assertNotIn("tensorboard", json.dumps(sorted(names(outdir))))

    def test_regularisers(self):
        """Penalties of D, and the part of the factor in F2A's softmax."""
        usual = {"outdir": self.folder / "penalised", "iterations": 2, "batch": 2}
        self.train(**usual, strategy="output_aggregation", output_rule="softmax", output_lambda=0.5)
        self.assertAlmostEqual(self.read(usual["outdir"]).Scalars("Loss/G/reg")[0].value,
                               lines(usual["outdir"] / LOG)[0]["reg_g"], 6)
        self.assertAlmostEqual(lines(usual["outdir"] / LOG)[0]["reg_g"], 0.1 * 0.5 ** 2, 6)
        if "wgan_gp32_narrow" not in models():
            self.skipTest("a build without networks with penalties")
        self.train(**usual, model="wgan_gp32_narrow", strategy="standalone")
        events, log = self.read(usual["outdir"]), lines(usual["outdir"] / LOG)
        for tag, key in (("Loss/D/reg", "reg_d"), ("Loss/scores/fake", "scores_fake")):
            self.assertAlmostEqual(events.Scalars(tag)[0].value, log[0][key], 4)
        self.assertGreater(log[0]["reg_d"], 0)

    def test_standalone(self):
        outdir = self.folder / "alone"
        self.train(outdir=outdir, iterations=2, strategy="standalone", tensorboard="iteration")
        tags = self.read(outdir).Tags()
        self.assertFalse({t for t in tags["scalars"] if t.startswith("Comm/")})
        self.assertTrue({t for t in tags["histograms"] if t.startswith("Weights/discriminator-1/")})


if __name__ == "__main__":
    unittest.main()

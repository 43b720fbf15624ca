#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""gantry-onnx writes generators that onnxruntime runs to the same images.

The environment variable GANTRY_ONNX names the program. Without onnxruntime the images are not
compared, which the test says.
"""
import os
import subprocess
import unittest
from pathlib import Path

from gantry_train_support import (MODEL, PATIENCE, ProgramTest, checkpoint, models, names,
                                  write_cifar10)
from gantry_train_torch_test import CLOSE, distance, python_with

ONNX = os.environ.get("GANTRY_ONNX", "")
RUN = """
import sys, numpy, onnxruntime
model, folder = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
(images,) = session.run(None, {"latents": numpy.load(folder + "/latents.npy")})
numpy.save(folder + "/onnx.npy", numpy.ascontiguousarray(images.transpose(0, 2, 3, 1)))
"""
CHECK = "import sys, onnx; onnx.checker.check_model(onnx.load(sys.argv[1]), full_check=True)"


class Onnx(ProgramTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        assert Path(ONNX).is_file(), f"GANTRY_ONNX names no program: '{ONNX}'"

    def export(self, *words) -> subprocess.CompletedProcess:
        return subprocess.run([ONNX, *map(str, words)], env=self.environment,
                              capture_output=True, text=True, timeout=PATIENCE)

    def python(self, python: str, *words) -> None:
        result = subprocess.run([python, "-c", *map(str, words)], capture_output=True, text=True,
                                timeout=PATIENCE)
        self.assertEqual(result.returncode, 0, result.stderr)

    def compare(self, model: str, **given) -> None:
        outdir = self.folder / model
        self.train(model=model, iterations=2, ema=0.5, outdir=outdir, **given)
        target = outdir / "g.onnx"
        result = self.export(outdir, target)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn(str(target), result.stdout)
        runtime = python_with("onnxruntime", "numpy")
        if not runtime:
            self.skipTest("no Python here has onnxruntime and numpy")
        if python_with("onnx"):
            self.python(python_with("onnx"), CHECK, target)
        drawn = self.call("--sample", "16", "--from", str(outdir), "--outdir", str(outdir),
                          "--npy")
        self.assertEqual(drawn.returncode, 0, drawn.stderr)
        self.python(runtime, RUN, target, outdir)
        self.assertLess(distance(outdir / "samples.npy", outdir / "onnx.npy"), CLOSE)

    def test_images_are_equal(self):
        for model in ("mlp28", "cnn28", "dcgan28"):
            if model in models():
                with self.subTest(model):
                    self.compare(model)

    def test_residual_blocks(self):
        if "wgan_gp32_narrow" not in models():
            self.skipTest("this build of gantry-train has no wgan_gp32_narrow")
        data = write_cifar10(self.folder / "cifar", (40,), 20)
        self.compare("wgan_gp32_narrow", data="cifar10", data_dir=data)

    def test_refusals(self):
        outdir = self.folder / "refused"
        self.train(model=MODEL, iterations=1, outdir=outdir)
        target = self.folder / "none.onnx"
        weights = checkpoint(outdir, 1) / "generator_ema.safetensors"
        for words, code, fragment in (
                ((), 2, "--help"), ((outdir,), 2, "--help"), (("--what", target), 2, "--help"),
                ((self.folder / "no", target), 3, str(self.folder / "no")),
                ((outdir, self.folder / "no" / "g.onnx"), 3, "cannot write")):
            self.refused(self.export(*words), code, fragment)
        self.refused(self.export("x" * 300, target), 3, "File name too long")
        whole = weights.read_bytes()
        weights.write_bytes(whole[:-1])
        self.refused(self.export(outdir, target), 3, "damaged")
        self.assertNotIn("none.onnx", names(self.folder))

    def refused(self, result, code: int, fragment: str) -> None:
        self.assert_refused(result, code, fragment, program="gantry-onnx")


if __name__ == "__main__":
    unittest.main()

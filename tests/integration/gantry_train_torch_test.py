#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Weights between gantry-train and PyTorch: equal images both ways.

PyTorch runs in an interpreter that has it, this one or Debian's; without one the tests are skipped.
"""
import functools
import json
import struct
import subprocess
import sys
import unittest
from pathlib import Path

from gantry_train_support import (MODEL, PATIENCE, ProgramTest, checkpoint, models,
                                  read_safetensors)

SCRIPTS = Path(__file__).resolve().parents[2] / "examples" / "python"
CLOSE = 1e-5  # the largest difference of pixels in [-1, 1]


@functools.cache
def python_with(*modules: str) -> str:
    """An interpreter that can import these modules, or "". PyTorch must know its NumPy, too."""
    code = "import " + ", ".join(modules)
    if "torch" in modules:
        code += "; torch.from_numpy(numpy.zeros(1))"
    for python in (sys.executable, "/usr/bin/python3"):
        words = [python, "-c", code]
        try:
            if subprocess.run(words, capture_output=True, timeout=PATIENCE).returncode == 0:
                return python
        except OSError:
            continue
    return ""


def floats(path: Path) -> tuple[float, ...]:
    """The values of a .npy file of floats."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<H", data, 8)
    assert b"'<f4'" in data[:10 + length], path
    return struct.unpack(f"<{(len(data) - 10 - length) // 4}f", data[10 + length:])


def distance(a: Path, b: Path) -> float:
    """The largest difference of two arrays of one size."""
    x, y = floats(a), floats(b)
    assert len(x) == len(y) > 0, (a, b)
    return max(abs(p - q) for p, q in zip(x, y))


class TorchTest(ProgramTest):
    MODULES = ("torch", "numpy")

    def python(self, *words) -> str:
        python = python_with(*self.MODULES)
        if not python:
            self.skipTest(f"no Python here has {' and '.join(self.MODULES)}")
        result = subprocess.run([python, "-B", *map(str, words)], cwd=SCRIPTS,
                                capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def sample(self, outdir: Path, count: int, **given) -> None:
        """samples.npy and latents.npy in a folder."""
        words = {"sample": count, "outdir": outdir, "seed": 3, **given}
        result = self.call("--npy", *(str(x) for key, value in words.items()
                                      for x in ("--" + key.replace("_", "-"), value)))
        self.assertEqual(result.returncode, 0, result.stderr)


class LoadGenerator(TorchTest):
    def test_images_are_equal(self):
        for model in ("dcgan28", "mlp28"):
            with self.subTest(model):
                if model not in models():
                    self.skipTest(f"this build of gantry-train has no {model}")
                outdir = self.folder / model
                self.train(model=model, iterations=3, ema=0.5, outdir=outdir)
                self.sample(outdir, 16, **{"from": outdir})
                self.python("load_generator.py", checkpoint(outdir, 3), outdir / "torch.npy",
                            "--latents", outdir / "latents.npy")
                self.assertLess(distance(outdir / "samples.npy", outdir / "torch.npy"), CLOSE)
                # Different latents give different images, so the comparison says something.
                self.python("load_generator.py", outdir, outdir / "other.npy")  # its latest
                self.assertGreater(distance(outdir / "samples.npy", outdir / "other.npy"), 0.01)

    def test_refusals(self):
        python = python_with(*self.MODULES)
        if not python:
            self.skipTest("no Python here has torch and numpy")
        run, images = self.folder / "refused", self.folder / "refused.npy"
        self.train(model=MODEL, iterations=1, outdir=run)
        latest = checkpoint(run, 1)

        def refuse(*words, names: str) -> None:
            result = subprocess.run([python, "-B", "load_generator.py", *map(str, words)],
                                    cwd=SCRIPTS, capture_output=True, text=True, timeout=PATIENCE)
            self.assert_refused(result, 3, names, program="load_generator.py")
            self.assertFalse(images.exists())

        refuse(self.data, images, names=f"found none at {self.data}")
        refuse(self.folder / "none", images, names="none")
        refuse(latest, self.folder / "no" / "x.npy", names="x.npy")
        refuse(run, images, "--latents", latest / "config.json", names=str(run))
        weights = latest / "generator_ema.safetensors"
        for spoilt in (weights.read_bytes()[:-9], b"", b"\xff" * 30):
            weights.write_bytes(spoilt)
            refuse(run, images, names=str(run))


SETUP = """
import sys, numpy, torch
from export_dcgan import Generator, Discriminator
folder, side = sys.argv[1], int(sys.argv[2])
widths = (512, 256, 128, 64)[-4 if side == 64 else -3:]
"""
MAKE = SETUP + """
torch.manual_seed(1)
latents, images = torch.randn(4, 100, 1, 1), torch.randn(2, 3, side, side)
for name, net, batch in (("G", Generator(widths), latents),
                         ("D", Discriminator(widths[::-1]), images)):
    net(batch), net(batch)  # moves the running statistics
    torch.save(net.state_dict(), f"{folder}/{name}.pth")
"""
DRAW = SETUP + """
net = Generator(widths)
net.load_state_dict(torch.load(folder + "/G.pth"))
z = torch.from_numpy(numpy.load(folder + "/latents.npy"))[:, :, None, None]
with torch.no_grad():
    images = net.eval()(z)
numpy.save(folder + "/torch.npy", images.permute(0, 2, 3, 1).contiguous().numpy())
"""
SIDES = [side for side in (64, 32) if f"dcgan{side}" in models()]


@unittest.skipUnless(SIDES, "this build of gantry-train has neither dcgan64 nor dcgan32")
class ExportDcgan(TorchTest):
    def test_images_of_pytorchs_example_are_equal(self):
        for side in SIDES:
            with self.subTest(side):
                self.compare(side, f"dcgan{side}", self.folder / f"example{side}")

    def compare(self, side: int, dcgan: str, folder: Path) -> None:
        folder.mkdir()
        self.python("-c", MAKE, folder, side)
        for name in "GD":
            self.python("export_dcgan.py", folder / f"{name}.pth", folder / f"{name}.safetensors")
        self.assertIn("main.1.num_batches_tracked", read_safetensors(folder / "G.safetensors"))
        self.sample(folder, 4, model=dcgan, init_generator=folder / "G.safetensors")
        self.python("-c", DRAW, folder, side)
        self.assertLess(distance(folder / "samples.npy", folder / "torch.npy"), CLOSE)
        for model, file in ((dcgan, "D"), (MODEL, "G")):
            result = self.call("--sample", "1", "--model", model, "--init-generator",
                               str(folder / f"{file}.safetensors"), "--quiet")
            self.assert_refused(result, 3, f"{file}.safetensors", "--model")


ROUND = """
import sys
from pathlib import Path
import numpy
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
files = sorted(folder.glob("*.safetensors"))
for path in files:
    with safe_open(path, "np") as f:
        for name in f.keys():
            f.get_tensor(name)
        print(path.name, f.metadata())
tensors = load_file(folder / "generator_ema.safetensors")
counters = {"0.num_batches_tracked": numpy.array(7), "1.num_batches_tracked": numpy.ones(3, "u1")}
save_file({**tensors, **counters}, out / "f32.safetensors")
save_file({k: v.astype("float64") for k, v in tensors.items()}, out / "f64.safetensors")
save_file({k: v.astype("float16") for k, v in tensors.items()}, out / "f16.safetensors")
"""


class Package(TorchTest):
    """The package safetensors reads ours, and we read its files."""
    MODULES = ("safetensors", "numpy")

    def test_both_ways(self):
        outdir = self.folder / "package"
        self.train(iterations=2, outdir=outdir)
        printed = self.python("-c", ROUND, checkpoint(outdir, 2), outdir)
        self.assertIn("generator_ema.safetensors {'format': 'pt'}", printed)
        self.assertEqual(len(printed.splitlines()),
                         len(list(checkpoint(outdir, 2).glob("*.safetensors"))))
        self.sample(outdir, 4, **{"from": outdir})
        own = (outdir / "samples.npy").rename(outdir / "own.npy")
        for kind, bound in (("f32", 0), ("f64", 0), ("f16", 0.02)):
            self.sample(outdir, 4, model=MODEL, init_generator=outdir / f"{kind}.safetensors")
            self.assertLessEqual(distance(own, outdir / "samples.npy"), bound, kind)


class InitialWeights(TorchTest):
    """A run from the weights of another; needs no PyTorch."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.first = cls.folder / "first"
        result = cls.run_program(iterations=3, seed=1, strategy="standalone", workers=1,
                                 outdir=cls.first)
        assert result.returncode == 0, result.stderr
        cls.files = {"init_generator": checkpoint(cls.first, 3) / "generator_ema.safetensors",
                     "init_discriminator": checkpoint(cls.first, 3) / "discriminator-1.safetensors"}

    def test_a_run_starts_from_them(self):
        for strategy, workers, name in (("standalone", 1, "discriminator-1"),
                                        ("md_gan", 2, "discriminator-2"),
                                        ("federated_average", 2, "discriminator-1")):
            with self.subTest(strategy):
                outdir = self.folder / strategy
                given = {"strategy": strategy, "workers": workers, "seed": 2, "lr_g": 1e-30,
                         "lr_d": 1e-30, "optimizer": "sgd", "outdir": outdir, "iterations": 1}
                self.train(**given, **self.files)
                saved = checkpoint(outdir, 1)
                for kind, file in (("generator", "generator"), ("discriminator", name)):
                    ours, theirs = (dict(tensors(path)) for path in (
                        saved / f"{file}.safetensors", self.files[f"init_{kind}"]))
                    for key, value in theirs.items():
                        if "running" not in key:
                            self.assertEqual(ours[key], value, (kind, key))
                self.sample(outdir, 64, model=MODEL, init_generator=self.files["init_generator"],
                            seed=2)
                self.assertEqual((outdir / "samples.png").read_bytes(),
                                 (outdir / "fakes_init.png").read_bytes())

    def test_resume_knows_them(self):
        outdir, whole = self.folder / "resumed", self.folder / "not-resumed"
        self.train(**self.files, iterations=2, outdir=outdir)
        self.train(**self.files, iterations=4, outdir=outdir, resume="latest")
        self.train(**self.files, iterations=4, outdir=whole)
        self.assertEqual((checkpoint(outdir, 4) / "MANIFEST.json").read_bytes(),
                         (checkpoint(whole, 4) / "MANIFEST.json").read_bytes())
        result = self.run_program(iterations=5, outdir=outdir, resume="latest", quiet=True)
        self.assert_refused(result, 3, "init_generator", "has none")

    def test_refusals(self):
        given = {"outdir": self.folder / "refused", "quiet": True}
        for flag, file, fragment in (
                ("init_generator", self.folder / "none", "cannot read"),
                ("init_generator", self.files["init_discriminator"], "expected to be that of"),
                ("init_discriminator", self.files["init_generator"], "expected to be that of")):
            result = self.run_program(**given, **{flag: file})
            self.assert_refused(result, 3, str(file), fragment)
        both = {"sample": 4, "from": self.first, "init_generator": self.files["init_generator"]}
        for words in (both, {"sample": 4}):
            result = self.call(*(str(x) for key, value in words.items()
                                 for x in ("--" + key.replace("_", "-"), value)))
            self.assert_refused(result, 2, "--sample", "--from", "--init-generator")


def tensors(path: Path):
    """Names and bytes of a file's tensors."""
    data = path.read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    for name, about in json.loads(data[8:8 + size]).items():
        if name != "__metadata__":
            begin, end = about["data_offsets"]
            yield name, data[8 + size + begin:8 + size + end]


if __name__ == "__main__":
    unittest.main()

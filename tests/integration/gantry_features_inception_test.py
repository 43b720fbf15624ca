#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Inception-v3 of gantry-features with random weights against the network written down in numpy,
and against pytorch-fid's own module where that can be imported.

Exit code 77 (skipped) where there is no numpy.
"""
import json
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from gantry_features_support import read_tensors, run, write_images

try:
    import numpy as np
except ImportError:
    print("skipped: no numpy in this Python")
    sys.exit(77)

SIDE = 299
TOLERANCE = 1e-4  # of the largest feature
SCRIPT = Path(__file__).parents[2] / "examples/python/convert_inception.py"
FID_CLASSES, TORCHVISION_CLASSES = 1008, 1000


def widths(block: str) -> dict[str, tuple[int, int, int, int]]:
    """The convolutions of a block: name to inputs, outputs, height and width of the window."""
    table = {"Conv2d_1a_3x3": (3, 32, 3, 3), "Conv2d_2a_3x3": (32, 32, 3, 3),
             "Conv2d_2b_3x3": (32, 64, 3, 3), "Conv2d_3b_1x1": (64, 80, 1, 1),
             "Conv2d_4a_3x3": (80, 192, 3, 3)}
    if block in table:
        return {"": table[block]}
    if block in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
        n, pool = {"b": (192, 32), "c": (256, 64), "d": (288, 64)}[block[-1]]
        return {"branch1x1": (n, 64, 1, 1), "branch5x5_1": (n, 48, 1, 1),
                "branch5x5_2": (48, 64, 5, 5), "branch3x3dbl_1": (n, 64, 1, 1),
                "branch3x3dbl_2": (64, 96, 3, 3), "branch3x3dbl_3": (96, 96, 3, 3),
                "branch_pool": (n, pool, 1, 1)}
    if block == "Mixed_6a":
        return {"branch3x3": (288, 384, 3, 3), "branch3x3dbl_1": (288, 64, 1, 1),
                "branch3x3dbl_2": (64, 96, 3, 3), "branch3x3dbl_3": (96, 96, 3, 3)}
    if block.startswith("Mixed_6"):
        c = {"b": 128, "c": 160, "d": 160, "e": 192}[block[-1]]
        return {"branch1x1": (768, 192, 1, 1), "branch7x7_1": (768, c, 1, 1),
                "branch7x7_2": (c, c, 1, 7), "branch7x7_3": (c, 192, 7, 1),
                "branch7x7dbl_1": (768, c, 1, 1), "branch7x7dbl_2": (c, c, 7, 1),
                "branch7x7dbl_3": (c, c, 1, 7), "branch7x7dbl_4": (c, c, 7, 1),
                "branch7x7dbl_5": (c, 192, 1, 7), "branch_pool": (768, 192, 1, 1)}
    if block == "Mixed_7a":
        return {"branch3x3_1": (768, 192, 1, 1), "branch3x3_2": (192, 320, 3, 3),
                "branch7x7x3_1": (768, 192, 1, 1), "branch7x7x3_2": (192, 192, 1, 7),
                "branch7x7x3_3": (192, 192, 7, 1), "branch7x7x3_4": (192, 192, 3, 3)}
    n = {"b": 1280, "c": 2048}[block[-1]]
    return {"branch1x1": (n, 320, 1, 1), "branch3x3_1": (n, 384, 1, 1),
            "branch3x3_2a": (384, 384, 1, 3), "branch3x3_2b": (384, 384, 3, 1),
            "branch3x3dbl_1": (n, 448, 1, 1), "branch3x3dbl_2": (448, 384, 3, 3),
            "branch3x3dbl_3a": (384, 384, 1, 3), "branch3x3dbl_3b": (384, 384, 3, 1),
            "branch_pool": (n, 192, 1, 1)}


STEM = ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"]
MIXED = ["Mixed_" + name for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b",
                                      "7c")]


def random_state(classes: int, seed: int) -> dict[str, np.ndarray]:
    source, state = np.random.default_rng(seed), {}
    for block in STEM + MIXED:
        for conv, (n, out, height, width) in widths(block).items():
            name, fan = f"{block}.{conv}".rstrip("."), n * height * width
            weight = source.standard_normal((out, n, height, width), np.float32)
            state[name + ".conv.weight"] = weight * np.float32((2 / fan) ** 0.5)
            for part, low, high in (("weight", 0.5, 1.5), ("bias", -0.2, 0.2),
                                    ("running_mean", -0.2, 0.2), ("running_var", 0.5, 1.5)):
                state[f"{name}.bn.{part}"] = source.uniform(low, high, out).astype(np.float32)
    state["fc.weight"] = source.standard_normal((classes, 2048), np.float32) * np.float32(0.03)
    state["fc.bias"] = source.uniform(-0.2, 0.2, classes).astype(np.float32)
    return state


def write_state(path: Path, state: dict[str, np.ndarray]) -> Path:
    header, end = {}, 0
    for name, values in state.items():
        header[name] = {"dtype": "F32", "shape": list(values.shape),
                        "data_offsets": [end, end + values.nbytes]}
        end += values.nbytes
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for values in state.values():
            file.write(values.tobytes())
    return path


class Network:
    """The forward pass in double precision; images are [h][w][c]."""

    def __init__(self, state: dict[str, np.ndarray], fid: bool) -> None:
        self.state, self.fid = state, fid

    @staticmethod
    def windows(x, height, width, stride, pad, outside=0.0):
        padded = np.pad(x, ((pad[0],) * 2, (pad[1],) * 2, (0, 0)), constant_values=outside)
        return np.lib.stride_tricks.sliding_window_view(padded, (height, width),
                                                        (0, 1))[::stride, ::stride]

    def conv(self, x, name, stride=1, pad=None):
        get = lambda part: self.state[f"{name}.{part}"].astype(np.float64)  # noqa: E731
        weight = get("conv.weight")
        out, _, height, width = weight.shape
        seen = self.windows(x, height, width, stride, pad or (height // 2, width // 2))
        y = seen.reshape(*seen.shape[:2], -1) @ weight.reshape(out, -1).T
        y = (y - get("bn.running_mean")) / np.sqrt(get("bn.running_var") + 1e-3)
        return np.maximum(y * get("bn.weight") + get("bn.bias"), 0)

    def largest(self, x, stride, pad):
        return self.windows(x, 3, 3, stride, (pad, pad), -np.inf).max((3, 4))

    def average(self, x):
        total = self.windows(x, 3, 3, 1, (1, 1)).sum((3, 4))
        count = self.windows(np.ones_like(x), 3, 3, 1, (1, 1)).sum((3, 4)) if self.fid else 9
        return total / count

    def chain(self, x, block, *names, last=None):
        for name in names:
            shrinks = last if name == names[-1] else None
            x = self.conv(x, f"{block}.{name}", **(shrinks or {}))
        return x

    def mixed(self, x, block):
        run = lambda *names, **last: self.chain(x, block, *names, **last)  # noqa: E731
        halve = {"last": {"stride": 2, "pad": (0, 0)}}
        if block == "Mixed_6a":
            parts = [run("branch3x3", **halve),
                     run("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3", **halve),
                     self.largest(x, 2, 0)]
        elif block == "Mixed_7a":
            parts = [run("branch3x3_1", "branch3x3_2", **halve),
                     run(*(f"branch7x7x3_{i}" for i in (1, 2, 3, 4)), **halve),
                     self.largest(x, 2, 0)]
        else:
            maximum = self.fid and block == "Mixed_7c"
            pool = self.largest(x, 1, 1) if maximum else self.average(x)
            parts = [run("branch1x1")]
            if block.startswith("Mixed_5"):
                parts += [run("branch5x5_1", "branch5x5_2"),
                          run("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")]
            elif block.startswith("Mixed_6"):
                parts += [run(*(f"branch7x7_{i}" for i in (1, 2, 3))),
                          run(*(f"branch7x7dbl_{i}" for i in (1, 2, 3, 4, 5)))]
            else:
                for first in (("branch3x3_1",), ("branch3x3dbl_1", "branch3x3dbl_2")):
                    tail = first[0][:-1] + ("2" if len(first) == 1 else "3")
                    y = run(*first)
                    parts += [self.conv(y, f"{block}.{tail}a"), self.conv(y, f"{block}.{tail}b")]
            parts.append(self.conv(pool, f"{block}.branch_pool"))
        return np.concatenate(parts, 2)

    def __call__(self, pixels: np.ndarray, corner: bool = False):
        """Features and probabilities of an image of bytes."""
        x = resize(pixels / 127.5 - 1, corner)
        x = self.conv(x, "Conv2d_1a_3x3", 2, (0, 0))
        x = self.conv(self.conv(x, "Conv2d_2a_3x3", 1, (0, 0)), "Conv2d_2b_3x3")
        x = self.conv(self.largest(x, 2, 0), "Conv2d_3b_1x1")
        x = self.largest(self.conv(x, "Conv2d_4a_3x3", 1, (0, 0)), 2, 0)
        for block in MIXED:
            x = self.mixed(x, block)
        features = x.mean((0, 1))
        logits = self.state["fc.weight"].astype(np.float64) @ features
        odds = np.exp(logits - logits.max())
        return features, odds / odds.sum()


def resize(x: np.ndarray, corner: bool) -> np.ndarray:
    for axis in (0, 1):
        n = x.shape[axis]
        at = np.arange(SIDE) * (n / SIDE) if corner else (np.arange(SIDE) + 0.5) * n / SIDE - 0.5
        at = at.clip(0)
        first = np.minimum(at.astype(int), n - 1)
        second = np.minimum(first + 1, n - 1)
        part = (at - first)[:, None, None] if axis == 0 else (at - first)[None, :, None]
        x = (1 - part) * x.take(first, axis) + part * x.take(second, axis)
    return x


class Inception(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)

    def results(self, network: str, pixels: np.ndarray):
        """Features and probabilities of one image."""
        images = write_images(self.folder / "images", [1, *pixels.shape], pixels.tobytes())
        done = run(network, images, self.folder / "out")
        self.assertEqual(done.returncode, 0, done.stderr)
        tensors = read_tensors(self.folder / "out")
        return [np.frombuffer(tensors[name][2], np.float32)
                for name in ("features", "probabilities")]

    def check(self, found, expected) -> None:
        features, probabilities = expected
        self.assertGreater(features.std(), 0.01)
        worst = np.abs(found[0] - features).max() / features.max()
        self.assertLess(worst, TOLERANCE)
        self.assertLess(np.abs(found[1] - probabilities).max(), TOLERANCE)
        print(f"features differ by {worst:.1e} of the largest")

    def image(self, height: int, width: int) -> np.ndarray:
        return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)

    def test_numpy_and_the_network_of_2015(self) -> None:
        state = random_state(FID_CLASSES, 1)
        file = write_state(self.folder / "weights", state)
        small = self.image(40, 52)
        expected = Network(state, fid=True)
        self.check(self.results(f"inception:{file}", small), expected(small))
        large = self.image(310, 330)
        self.check(self.results(f"inception-tf1:{file}", large), expected(large, corner=True))

    def test_numpy_and_the_network_of_torchvision(self) -> None:
        state = random_state(TORCHVISION_CLASSES, 2)
        file = write_state(self.folder / "weights", state)
        image = self.image(SIDE, SIDE)
        self.check(self.results(f"inception:{file}", image), Network(state, fid=False)(image))

    def test_pytorch_fid(self) -> None:
        try:
            import torch
            from pytorch_fid import inception
        except ImportError as reason:
            self.skipTest(f"no pytorch-fid ({reason}); pip install pytorch-fid")
        state = {name: torch.from_numpy(values)
                 for name, values in random_state(FID_CLASSES, 3).items()}
        inception.load_state_dict_from_url = lambda *_, **__: {
            **state, **{name.replace("running_var", "num_batches_tracked"): torch.tensor(0)
                        for name in state if name.endswith("running_var")}}
        full, module = inception.fid_inception_v3().eval(), inception.InceptionV3().eval()
        torch.save(full.state_dict(), self.folder / "state.pth")
        file = self.folder / "weights"
        done = subprocess.run([sys.executable, "-B", SCRIPT, self.folder / "state.pth", file],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        for pixels in (self.image(32, 32), self.image(320, 401)):
            x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
            with torch.no_grad():
                features = module(x)[0].flatten(1)
                odds = torch.softmax(features @ full.fc.weight.T, 1)
            self.check(self.results(f"inception:{file}", pixels),
                       (features[0].numpy(), odds[0].numpy()))


if __name__ == "__main__":
    unittest.main()

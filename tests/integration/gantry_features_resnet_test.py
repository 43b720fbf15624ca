#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""ResNet-20 of gantry-features on CIFAR-10 against figures that PyTorch gave, and its refusals.

GANTRY_RESNET20 names the weights, resnet20-12fca82f.safetensors; GANTRY_CIFAR10_DIR the folder of
CIFAR-10's binary files, of which data_batch_1.bin and the first 1,000 test images are needed.
"""
import hashlib
import math
import os
import random
import struct
import tempfile
import unittest
from pathlib import Path

from gantry_features_support import (random_resnet20, read_tensors, rows, run, write_images,
                                     write_tensors)

SIDE, PLANE = 32, 32 * 32
SHA256 = "246bbd8ae980751aafbd2f6d370222878f401d0d5e658dd56979291f80375f9e"
# With the module of akamaster/pytorch_resnet_cifar10 in PyTorch: A is data_batch_1.bin.
ACCURACY_A, MEAN_NORM_A, SCORE_A, DEVIATION_A = 0.9984, 6.4543077545, 9.758308539, 0.034983669
ACCURACY_TEST, DISTANCE = 0.915, 0.1661833924


def weights() -> Path | None:
    path = Path(os.environ.get("GANTRY_RESNET20", ""))
    return path if path.is_file() else None


def cifar(*names: str) -> Path | None:
    """The first of the files that is there."""
    folder = Path(os.environ.get("GANTRY_CIFAR10_DIR", "/nowhere"))
    paths = [f / name for f in (folder / "cifar-10-batches-bin", folder) for name in names]
    return next((path for path in paths if path.is_file()), None)


def read_cifar(path: Path, count: int) -> tuple[bytes, list[int]]:
    """Pixels [n][h][w][c] and labels of the first images of a file."""
    content, pixels, labels = path.read_bytes(), bytearray(), []
    for at in range(0, count * (1 + 3 * PLANE), 1 + 3 * PLANE):
        labels.append(content[at])
        image = bytearray(3 * PLANE)
        for c in range(3):
            image[c::3] = content[at + 1 + c * PLANE:at + 1 + (c + 1) * PLANE]
        pixels += image
    return bytes(pixels), labels


def inception_score(probabilities: list, splits: int) -> tuple[float, float]:
    scores, n = [], len(probabilities)
    for i in range(splits):
        part = probabilities[i * n // splits:(i + 1) * n // splits]
        mean = [sum(row[k] for row in part) / len(part) for k in range(len(part[0]))]
        total = sum(p * math.log(p / mean[k]) for row in part for k, p in enumerate(row) if p > 0)
        scores.append(math.exp(total / len(part)))
    mean = sum(scores) / splits
    return mean, math.sqrt(sum((s - mean) ** 2 for s in scores) / splits)


class Published(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        self.train = cifar("data_batch_1.bin")
        self.test = cifar("test_batch.bin", "test_batch_first1000.bin")
        if not weights() or not self.train or not self.test:
            self.skipTest("no ResNet-20 or no CIFAR-10; set GANTRY_RESNET20 to its file and "
                          "GANTRY_CIFAR10_DIR to the folder of the binary files")

    def evaluate(self, path: Path, count: int) -> tuple[list, list, float]:
        pixels, labels = read_cifar(path, count)
        images = write_images(self.folder / "images", [count, SIDE, SIDE, 3], pixels)
        done = run(f"resnet20:{weights()}", images, self.folder / "out")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(SHA256, done.stdout)
        results = read_tensors(self.folder / "out")
        probabilities = rows(results["probabilities"])
        right = sum(max(range(10), key=row.__getitem__) == label
                    for row, label in zip(probabilities, labels))
        return rows(results["features"]), probabilities, right / count

    def test_figures_of_pytorch(self) -> None:
        self.assertEqual(hashlib.sha256(weights().read_bytes()).hexdigest(), SHA256)
        features, probabilities, accuracy = self.evaluate(self.train, 10_000)
        self.assertEqual(accuracy, ACCURACY_A)
        mean = [sum(column) / len(features) for column in zip(*features)]
        self.assertAlmostEqual(math.hypot(*mean) / MEAN_NORM_A, 1, delta=1e-5)
        score, deviation = inception_score(probabilities, 10)
        self.assertAlmostEqual(score / SCORE_A, 1, delta=1e-5)
        self.assertAlmostEqual(deviation / DEVIATION_A, 1, delta=1e-4)
        test_features, _, accuracy = self.evaluate(self.test, 1000)
        self.assertEqual(accuracy, ACCURACY_TEST)
        try:
            import numpy
        except ImportError:
            print("no numpy, the Frechet distance is left to gantry-metrics")
            return
        a, b = (numpy.asarray([list(f) for f in fs]) for fs in (features, test_features))
        product = numpy.linalg.eigvals(numpy.cov(a.T) @ numpy.cov(b.T))
        distance = (((a.mean(0) - b.mean(0)) ** 2).sum() + numpy.cov(a.T).trace() +
                    numpy.cov(b.T).trace() - 2 * numpy.sqrt(product.real.clip(0)).sum())
        self.assertAlmostEqual(distance / DISTANCE, 1, delta=1e-4)


class RandomWeights(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        self.tensors = random_resnet20(1)
        self.pixels = random.Random(2).randbytes(3 * SIDE * SIDE * 3)
        self.images = write_images(self.folder / "images", [3, SIDE, SIDE, 3], self.pixels)

    def run_with(self, tensors: dict, images: Path | None = None):
        write_tensors(self.folder / "weights", tensors)
        return run(f"resnet20:{self.folder / 'weights'}", images or self.images,
                   self.folder / "out")

    def refuse(self, done, code: int, *parts: str) -> None:
        self.assertEqual(done.returncode, code, done.stderr)
        for part in parts:
            self.assertIn(part, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertFalse((self.folder / "out").exists())

    def test_one_image_gives_what_it_gives_among_others(self) -> None:
        self.assertEqual(self.run_with(self.tensors).returncode, 0)
        together = read_tensors(self.folder / "out")
        last = write_images(self.folder / "last", [1, SIDE, SIDE, 3], self.pixels[2 * 3 * PLANE:])
        self.assertEqual(self.run_with(self.tensors, last).returncode, 0)
        alone = read_tensors(self.folder / "out")
        for name, (_, shape, blob) in alone.items():
            self.assertEqual(together[name][2][-len(blob):], blob, name)
        self.assertAlmostEqual(sum(rows(alone["probabilities"])[0]), 1, places=5)

    def test_a_grey_image_is_one_of_three_equal_channels(self) -> None:
        grey = self.pixels[:PLANE]
        outputs = []
        for shape, pixels in (([1, SIDE, SIDE, 1], grey),
                              ([1, SIDE, SIDE, 3], bytes(p for p in grey for _ in range(3)))):
            images = write_images(self.folder / "grey", shape, pixels)
            self.assertEqual(self.run_with(self.tensors, images).returncode, 0)
            outputs.append((self.folder / "out").read_bytes())
        self.assertEqual(outputs[0], outputs[1])

    def test_counters_of_batches_are_ignored(self) -> None:
        self.assertEqual(self.run_with(self.tensors).returncode, 0)
        expected = read_tensors(self.folder / "out")
        counted = self.tensors | {"layer1.0.bn1.num_batches_tracked": ("I64", [], bytes(8))}
        done = self.run_with(counted)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(read_tensors(self.folder / "out"), expected)

    def test_other_tensors_are_refused(self) -> None:
        missing = {k: v for k, v in self.tensors.items() if k != "layer2.1.bn2.running_var"}
        self.refuse(self.run_with(missing), 3, "layer2.1.bn2.running_var", "was expected to hold")
        more = self.tensors | {"aux.weight": ("F32", [1], bytes(4))}
        self.refuse(self.run_with(more), 3, "aux.weight", "only")
        shape = self.tensors | {"conv1.weight": ("F32", [16, 3, 1, 1], bytes(192))}
        self.refuse(self.run_with(shape), 3, "conv1.weight", "[16, 3, 3, 3]", "[16, 3, 1, 1]")
        infinite = self.tensors | {"bn1.bias": ("F32", [16], struct.pack("<16f", *[math.inf] * 16))}
        self.refuse(self.run_with(infinite), 3, "bn1", "finite")

    def test_files_and_words_are_refused(self) -> None:
        out = self.folder / "out"
        self.refuse(run("vgg16:x", self.images, out), 2, "vgg16:x", "lenet")
        self.refuse(run("resnet20", self.images, out), 2, "resnet20:FILE")
        self.refuse(run("lenet", self.images, out), 2, "lenet needs")
        nowhere = self.folder / "nowhere"
        self.refuse(run(f"resnet20:{nowhere}", self.images, out), 3, str(nowhere))
        self.refuse(run(f"inception:{nowhere}", self.images, out), 3, str(nowhere))
        network = write_tensors(self.folder / "weights", self.tensors)
        self.refuse(run(f"inception:{network}", self.images, out), 3, "Inception-v3")
        cut = self.folder / "cut"
        cut.write_bytes(network.read_bytes()[:-100])
        self.refuse(run(f"resnet20:{cut}", self.images, out), 3, str(cut))
        five = write_images(self.folder / "five", [1, 8, 8, 5], bytes(320))
        self.refuse(run(f"resnet20:{network}", five, out), 2, "1 or 3 channels")
        flat = write_images(self.folder / "flat", [4], bytes(4))
        self.refuse(run(f"resnet20:{network}", flat, out), 3, "[n, height, width, channels]")


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""gantry-latent draws sums, differences and paths of latents from a checkpoint of gantry-train.

The environment variable GANTRY_LATENT names the program.
"""
import ast
import os
import struct
import subprocess
import unittest
from pathlib import Path

from gantry_train_support import PATIENCE, SIDE, ProgramTest, names, read_png

LATENT = os.environ.get("GANTRY_LATENT", "")


def read_npy(path: Path) -> list[list[float]]:
    """Rows of a two-dimensional array of floats (numpy/lib/format.py, version 1.0)."""
    data = path.read_bytes()
    assert data[:8] == b"\x93NUMPY\x01\x00"
    (length,) = struct.unpack_from("<H", data, 8)
    header = ast.literal_eval(data[10:10 + length].decode())
    assert (10 + length) % 64 == 0 and header["descr"] == "<f4" and not header["fortran_order"]
    rows, columns = header["shape"]
    values = struct.unpack_from(f"<{rows * columns}f", data, 10 + length)
    assert len(data) == 10 + length + 4 * len(values)
    return [list(values[r * columns:(r + 1) * columns]) for r in range(rows)]


class Latent(ProgramTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        assert Path(LATENT).is_file(), f"GANTRY_LATENT names no program: '{LATENT}'"
        cls.whole, cls.pairs = cls.folder / "whole", cls.folder / "pairs"
        for outdir, strategy, workers in ((cls.whole, "md_gan", 2),
                                          (cls.pairs, "label_parallel", 3)):
            result = cls.run_program(iterations=2, outdir=outdir, strategy=strategy,
                                     workers=workers)
            assert result.returncode == 0, result.stderr

    def latent(self, *words) -> subprocess.CompletedProcess:
        return subprocess.run([LATENT, *map(str, words)], env=self.environment,
                              capture_output=True, text=True, timeout=PATIENCE)

    def draw(self, source, *words):
        outdir = self.folder / "latents"
        result = self.latent("--from", source, "--outdir", outdir, *words)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(names(outdir), {"latents.png", "latents.npy", "latents.txt"})
        return ((outdir / "latents.txt").read_text().splitlines(),
                read_npy(outdir / "latents.npy"), outdir / "latents.png")

    def refused(self, code, words, *fragments):
        result = self.latent(*words)
        self.assert_refused(result, code, *fragments, program="gantry-latent")

    def assert_close(self, a, b):
        for x, y in zip(a, b, strict=True):
            self.assertAlmostEqual(x, y, delta=1e-5)

    def test_arithmetic(self):
        captions, z, picture = self.draw(self.whole, "-a", "7:3,7:12", "-b", "4", "-c", "5,6:1")
        self.assertEqual(captions, ["a 7:3", "a 7:12", "a mean", "b 4:0", "b mean", "c 5:0",
                                    "c 6:1", "c mean", "a-b+c"])
        self.assert_close(z[2], [(x + y) / 2 for x, y in zip(z[0], z[1])])
        self.assert_close(z[4], z[3])
        self.assert_close(z[8], [a - b + c for a, b, c in zip(z[2], z[4], z[7])])
        width, height, channels = read_png(picture)
        self.assertEqual((width, channels), (3 * (3 * SIDE + 4) + 4, 1))
        self.assertEqual(height, 4 * (3 * SIDE + 4 + 16) + 4)
        _, rescaled, _ = self.draw(self.whole, "-a", "7:3,7:12", "-b", "4", "-c", "5", "--rescale")
        self.assertAlmostEqual(sum(x * x for x in rescaled[-1]), len(rescaled[-1]), delta=1e-2)

    def test_a_latent_is_an_image_of_a_grid(self):
        _, z, picture = self.draw(self.whole, "-a", "9:2", "-b", "9:2", "-c", "9:2")
        self.assert_close(z[-1], z[0])
        first = picture.read_bytes()
        self.draw(self.whole, "-a", "9:2", "-b", "9:2", "-c", "9:2", "--threads", 1)
        self.assertEqual(picture.read_bytes(), first)

    def test_path(self):
        captions, z, picture = self.draw(self.whole, "-a", "1", "-b", "2,3", "--steps", 5)
        self.assertEqual(captions, [f"{kind} {t:.2f}" for kind in ("lin", "sph")
                                    for t in (0, 0.25, 0.5, 0.75, 1)])
        for first, last, middle in ((0, 4, 2), (5, 9, 7)):
            self.assert_close(z[first], z[0])
            self.assert_close(z[last], z[4])
            self.assertNotEqual(z[middle], z[first])
        self.assert_close(z[2], [(x + y) / 2 for x, y in zip(z[0], z[4])])
        self.assertEqual(read_png(picture)[0], 5 * (3 * SIDE + 4) + 4)

    def test_class_of_label_parallel_networks(self):
        words = ("-a", "1", "-b", "2", "--steps", 2)
        pictures = set()
        for label in range(3):
            *_, picture = self.draw(self.pairs, *words, "--class", label)
            pictures.add(picture.read_bytes())
        self.assertEqual(len(pictures), 3)
        self.refused(2, ("--from", self.pairs, *words, "--class", 3), "below the 3")

    def test_refusals(self):
        usual = ("--from", self.whole, "-a", "1", "-b", "2")
        self.refused(3, ("--from", self.folder / "none", *usual[2:]), "none")
        self.refused(2, usual[2:], "--from")
        self.refused(2, usual[:4], "--b")
        self.refused(2, (*usual, "-c", "x"), "--c", 'found "x"')
        self.refused(2, (*usual, "-c", "3", "--steps", 4), "--steps", "--c")
        self.refused(2, (*usual, "--class", 0), "--class", "leave it out")
        self.refused(2, (*usual, "--steps", 1), "--steps", "from 2")


if __name__ == "__main__":
    unittest.main()

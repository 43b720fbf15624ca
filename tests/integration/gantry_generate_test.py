#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""gantry-generate draws the images of gantry-train --sample as PNGs, a grid and an array file.

The environment variable GANTRY_GENERATE names the program.
"""
import ast
import os
import struct
import subprocess
import unittest
import zipfile
from pathlib import Path

from gantry_train_support import (PATIENCE, SIDE, ProgramTest, checkpoint, names, read_pixels,
                                  read_png, sha256, snapshot)

GENERATE = os.environ.get("GANTRY_GENERATE", "")


def read_npz(path: Path) -> dict[str, tuple[tuple[int, ...], bytes]]:
    """Shape and bytes of each array of uint8 (numpy/lib/format.py, version 1.0)."""
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        for name in archive.namelist():
            data = archive.read(name)
            assert data[:8] == b"\x93NUMPY\x01\x00" and name.endswith(".npy")
            (length,) = struct.unpack_from("<H", data, 8)
            header = ast.literal_eval(data[10:10 + length].decode())
            assert (10 + length) % 64 == 0
            assert header["descr"] == "|u1" and not header["fortran_order"]
            count = 1
            for extent in header["shape"]:
                count *= extent
            assert len(data) == 10 + length + count
            arrays[name[:-4]] = header["shape"], data[10 + length:]
    return arrays


class Generate(ProgramTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        assert Path(GENERATE).is_file(), f"GANTRY_GENERATE names no program: '{GENERATE}'"
        cls.whole, cls.pairs = cls.folder / "whole", cls.folder / "pairs"
        for outdir, strategy, workers in ((cls.whole, "md_gan", 2),
                                          (cls.pairs, "label_parallel", 3)):
            result = cls.run_program(iterations=3, outdir=outdir, strategy=strategy,
                                     workers=workers, seed=3)
            assert result.returncode == 0, result.stderr

    def generate(self, *words, **variables) -> subprocess.CompletedProcess:
        return subprocess.run([GENERATE, *map(str, words)], env={**self.environment, **variables},
                              capture_output=True, text=True, timeout=PATIENCE)

    def draw(self, source, *words, **variables) -> Path:
        outdir = self.folder / f"generated-{len(names(self.folder))}"
        result = self.generate("--from", source, "--out", outdir, *words, **variables)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return outdir

    def images(self, outdir: Path) -> list[bytes]:
        (count, *extents), data = read_npz(outdir / "images.npz")["images"]
        self.assertEqual(extents, [SIDE, SIDE, 1])
        size = SIDE * SIDE
        return [data[i * size:(i + 1) * size] for i in range(count)]

    def refused(self, code, words, *fragments):
        before = snapshot(self.folder)
        result = self.generate(*words, "--out", self.folder / "refused")
        self.assert_refused(result, code, *fragments, program="gantry-generate")
        self.assertEqual(snapshot(self.folder), before)
        self.assertFalse((self.folder / "refused").exists())

    def test_equals_the_samples_of_gantry_train(self):
        for count, seed in ((64, 3), (10, 5)):
            with self.subTest(count):
                drawn = self.draw(self.whole, "--count", count, "--seed", seed)
                samples = self.folder / f"samples{count}"
                result = self.call("--sample", str(count), "--from", str(self.whole), "--seed",
                                   str(seed), "--outdir", str(samples))
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertEqual(sha256(drawn / "grid.png"), sha256(samples / "samples.png"))
        self.assertEqual(sha256(self.folder / "samples64" / "samples.png"),
                         sha256(self.whole / "fakes000003.png"))

    def test_files_hold_the_same_images(self):
        drawn = self.draw(self.whole, "--count", 5)
        self.assertEqual({p.name for p in drawn.iterdir()}, {"grid.png", "images.npz", "images"})
        self.assertEqual(names(drawn / "images"), {f"image{i:06d}.png" for i in range(5)})
        arrays = read_npz(drawn / "images.npz")
        self.assertEqual(list(arrays), ["images"])
        for i, image in enumerate(self.images(drawn)):
            found = read_pixels(drawn / "images" / f"image{i:06d}.png")
            self.assertEqual(found, ((SIDE, SIDE, 1), image))
        _, grid = read_pixels(drawn / "grid.png")
        width = 3 * (SIDE + 2) + 2
        self.assertEqual(read_png(drawn / "grid.png")[:2], (width, 2 * (SIDE + 2) + 2))
        second = b"".join(grid[(2 + y) * width + SIDE + 4:][:SIDE] for y in range(SIDE))
        self.assertEqual(second, self.images(drawn)[1])

    def test_numpy_and_pillow_read_them(self):
        try:
            import numpy
            from PIL import Image
        except ImportError as missing:
            self.skipTest(f"{missing}; scripts/setup.sh --tests installs it")
        drawn = self.draw(self.pairs, "--count", 4)
        with numpy.load(drawn / "images.npz", allow_pickle=False) as arrays:
            images, labels = arrays["images"], arrays["labels"]
        self.assertEqual((images.shape, images.dtype), ((4, SIDE, SIDE, 1), numpy.uint8))
        self.assertEqual((labels.tolist(), labels.dtype), ([0, 1, 2, 0], numpy.uint8))
        for i in range(4):
            with Image.open(drawn / "images" / f"image{i:06d}.png") as picture:
                self.assertTrue((numpy.asarray(picture) == images[i, :, :, 0]).all())

    def test_seeds(self):
        grid = self.images(self.draw(self.whole, "--count", 8, "--seed", 7))
        other = self.images(self.draw(self.whole, "--count", 1, "--seed", 9))
        drawn = self.images(self.draw(self.whole, "--seeds", "7:3,7:6,6-7,9", "--write", "npz"))
        self.assertEqual([drawn[0], drawn[1], drawn[3], drawn[4]],
                         [grid[3], grid[6], grid[0], other[0]])
        self.assertEqual(len(drawn), 5)

    def test_truncation_and_factor(self):
        usual = self.draw(self.whole, "--count", 6)
        wide = self.draw(self.whole, "--count", 6, "--truncation", 100, "--psi", 1)
        self.assertEqual(self.images(wide), self.images(usual))
        narrow = self.images(self.draw(self.whole, "--count", 6, "--truncation", "0.2"))
        self.assertNotEqual(narrow, self.images(usual))
        one = self.images(self.draw(self.whole, "--seeds", "0:4", "--truncation", "0.2"))
        self.assertEqual(one[0], narrow[4])

        def spread(images: list[bytes]) -> int:
            return sum(abs(a - b) for x in images for a, b in zip(x, images[0]))
        self.assertLess(spread(narrow), spread(self.images(usual)))
        still = self.images(self.draw(self.whole, "--count", 3, "--psi", 0))
        self.assertEqual(len(set(still)), 1)

    def test_interpolation(self):
        ends = self.images(self.draw(self.whole, "--seeds", "1,2:5"))
        drawn = self.draw(self.whole, "--interpolate", "1", "2:5", "--frames", 5)
        frames = self.images(drawn)
        self.assertEqual(names(drawn / "frames"), {f"frame{i:06d}.png" for i in range(5)})
        self.assertEqual((len(frames), frames[0], frames[-1]), (5, ends[0], ends[1]))
        self.assertEqual(len(set(frames)), 5)

    def test_weights_and_threads(self):
        usual = self.images(self.draw(self.whole, "--count", 3, "--threads", 1))
        self.assertEqual(self.images(self.draw(checkpoint(self.whole, 3), "--count", 3, "--ema",
                                               "--threads", 2)), usual)
        self.assertNotEqual(self.images(self.draw(self.whole, "--count", 3, "--raw")), usual)

    def test_classes(self):
        mixed = read_npz(self.draw(self.pairs, "--count", 4) / "images.npz")
        self.assertEqual(mixed["labels"], ((4,), bytes([0, 1, 2, 0])))
        seconds = [self.draw(self.pairs, "--count", 2, "--class", label) for label in range(3)]
        self.assertEqual(len({self.images(x)[0] for x in seconds}), 3)
        self.assertEqual(self.images(seconds[1])[1], self.images(
            self.draw(self.pairs, "--count", 4))[1])
        self.refused(2, ("--from", self.pairs, "--class", 3), "below the 3")
        self.refused(2, ("--from", self.whole, "--class", 0), "leave it out")

    def test_settings_from_elsewhere(self):
        file = self.folder / "generate.toml"
        file.write_text(f'from = "{self.whole}"\nwrite = "npz"\ncount = 3\n'
                        'interpolate = ["1", "2"]\n')
        result = self.generate("--config", file)
        self.assertEqual(result.returncode, 2)
        self.assertIn("excludes", result.stderr)
        file.write_text(f'from = "{self.whole}"\nwrite = "npz"\ninterpolate = ["1", "2"]\n')
        outdir = self.folder / "from_file"
        result = self.generate("--config", file, "--out", outdir, GANTRY_FRAMES="4")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("setting: frames = 4 (GANTRY_FRAMES)\n", result.stdout)
        self.assertIn(f'setting: interpolate = [1, 2] ({file})\n', result.stdout)
        self.assertEqual((names(outdir), len(self.images(outdir))), ({"images.npz"}, 4))
        # A flag wins over what it excludes, and a variable over a line of the file.
        drawn = self.draw(self.whole, "--seeds", "1-4", GANTRY_SEED="3", GANTRY_COUNT="2",
                          GANTRY_EMA="0.5")  # which is gantry-train's
        self.assertEqual(len(self.images(drawn)), 4)
        drawn = self.folder / "by_count"
        result = self.generate("--config", file, "--out", drawn, "--count", 3, GANTRY_FRAMES="4")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(len(self.images(drawn)), 3)
        drawn = self.folder / "by_variable"
        result = self.generate("--config", file, "--out", drawn, GANTRY_SEEDS="7")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(len(self.images(drawn)), 1)
        self.assertIn("setting: seeds = 7 (GANTRY_SEEDS)\n", result.stdout)

    def test_refusals(self):
        usual = ("--from", self.whole)
        self.refused(3, ("--from", self.folder / "none"), "none")
        self.refused(2, (), "--from")
        for words, fragments in ((("--count", 0), ("--count", "from 1")),
                                 (("--seeds", "x"), ('found "x"',)),
                                 (("--seeds", "5-2"), ("FIRST-LAST", '"5-2"')),
                                 (("--seeds", "1", "--count", 3), ("--count",)),
                                 (("--write", "gif"), ("png", "grid", "npz", '"gif"')),
                                 (("--frames", 4), ("--interpolate",)),
                                 (("--interpolate", "1", "2,3"), ("--interpolate",)),
                                 (("--interpolate", "1"), ("--interpolate",)),
                                 (("--truncation", "0"), ("--truncation",)),
                                 (("--truncation", "nan"), ("--truncation",)),
                                 (("--ema", "--raw"), ("--raw",))):
            with self.subTest(words):
                self.refused(2, (*usual, *words), *fragments)
        path = checkpoint(self.whole, 3) / "generator.safetensors"
        intact = path.read_bytes()
        path.write_bytes(intact[:-1])
        self.addCleanup(path.write_bytes, intact)
        self.refused(3, (*usual, "--raw"), str(path), "SHA-256")


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""gantry-data inspects data sets of every kind, packs them, and previews their split."""
import hashlib
import io
import re
import struct
import tarfile
import unittest
import zipfile
from pathlib import Path

from gantry_data_support import DataTest, png, write_pngs
from gantry_train_support import names, read_png, sha256

PAGE = 4096


def read_gpack(path: Path) -> tuple[tuple[int, ...], bytes, bytes, list[str]]:
    """Extents, pixels, labels and class names, by the layout that docs/04_data.md describes."""
    data = path.read_bytes()
    assert data[:8] == b"GPACK\r\n\x1a"
    version, page, count, *extents, classes, names_size, size = struct.unpack_from("<IIQ4IQQ",
                                                                                   data, 8)
    assert (version, page, size) == (1, PAGE, len(data))
    pixel_bytes = count * extents[0] * extents[1] * extents[2]
    pixels = data[PAGE:PAGE + pixel_bytes]
    tail = PAGE + -(-pixel_bytes // PAGE) * PAGE
    labels, class_names = b"", []
    if classes:
        order_at = tail + 4 * 257
        labels = data[order_at + 4 * count:order_at + 5 * count]
        class_names = data[size - names_size:].decode().splitlines()
        order = struct.unpack_from(f"<{count}I", data, order_at)
        assert list(order) == sorted(range(count), key=lambda i: (labels[i], i))
    assert data[56:88] == hashlib.sha256(pixels + labels).digest()
    return (count, *extents), pixels, labels, class_names


class Program(DataTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pets = write_pngs(cls.folder / "pets", {"cats": 30, "dogs": 20})
        cls.skip_without_decoder(cls.pets)

    def test_inspect_a_folder(self):
        text = self.do("inspect", self.pets, "--outdir", self.folder / "look", "--quiet")
        self.assertIn(f"{self.pets}: a folder of images\nimages: 50, all decoded\n", text)
        self.assertRegex(text, r"extents: 2\d x 2\d x 3 to [56]\d x [56]\d x 3\n")
        self.assertIn("classes: 2\n  0 cats: 30\n  1 dogs: 20\n", text)
        self.assertEqual(names(self.folder / "look"), {"contact-sheet.png"})
        self.assertEqual(read_png(self.folder / "look" / "contact-sheet.png")[2], 3)

    def test_formats(self):
        files = sorted(self.pets.rglob("*.png"))
        zipped, tarred = self.folder / "pets.zip", self.folder / "pets.tar"
        with zipfile.ZipFile(zipped, "w", zipfile.ZIP_STORED) as out:
            for i, file in enumerate(files):
                out.write(file, f"00000/img{i:08}.png")
        with tarfile.open(tarred, "w", format=tarfile.USTAR_FORMAT) as out:
            for i, file in enumerate(files):
                for ending, body in (("png", file.read_bytes()), ("cls", b"%d" % (i % 3))):
                    entry = tarfile.TarInfo(f"{i:06}.{ending}")
                    entry.size = len(body)
                    out.addfile(entry, io.BytesIO(body))
        for path, kind in ((zipped, "a zip file of images"), (tarred, "a tar file of images"),
                           (self.data, "the training files of MNIST or Fashion-MNIST (IDX)")):
            text = self.do("inspect", path, "--outdir", self.folder / "look", "--quiet")
            self.assertIn(f"{path}: {kind}\n", text)
        folder = self.packed(self.pets, "--size", 16)[1]
        self.assertEqual(self.packed(zipped, "--size", 16)[1], folder)
        self.assertEqual(self.packed(tarred, "--size", 16)[1], folder)

    def packed(self, path: Path, *words):
        out = self.folder / "out.gpack"
        self.do("pack", path, "--out", out, "--quiet", *words)
        return read_gpack(out)

    def test_pack(self):
        extents, pixels, labels, classes = self.packed(self.pets, "--size", "12x16")
        self.assertEqual(extents, (50, 12, 16, 3))
        self.assertEqual((labels, classes), (b"\0" * 30 + b"\1" * 20, ["cats", "dogs"]))
        self.assertLess(max(pixels[:30 * 12 * 16 * 3]), 40)
        self.assertGreater(min(pixels[30 * 12 * 16 * 3:]), 50)
        first = sha256(self.folder / "out.gpack")
        for threads in (1, 3):  # the file does not depend on them
            self.packed(self.pets, "--size", "12x16", "--threads", threads)
            self.assertEqual(sha256(self.folder / "out.gpack"), first)
        self.assertEqual(self.packed(self.pets, "--size", 9, "--channels", 1)[0], (50, 9, 9, 1))
        for flag, value in (("--filter", "box"), ("--crop", "none")):
            self.assertNotEqual(self.packed(self.pets, "--size", "12x16", flag, value)[1], pixels)
        text = self.do("pack", self.pets, "--size", 16, "--out", self.folder / "out.gpack")
        self.assertRegex(text, r"50 images of 16 x 16 x 3 in 2 classes, packed in [\d.]+ s by \d+ "
                               r"threads? \(decoding and resizing [\d.]+ s in all, waited for "
                               r"[\d.]+ s\), SHA-256 [0-9a-f]{64}\n$")
        self.assertFalse([n for n in names(self.folder) if ".tmp-" in n])

    def test_inspect_a_packed_file(self):
        out = self.folder / "seen.gpack"
        packed = self.do("pack", self.pets, "--size", 16, "--out", out, "--quiet")
        text = self.do("inspect", out, "--outdir", self.folder / "look", "--quiet")
        self.assertIn("a packed file\nimages: 50, all decoded\nextents: 16 x 16 x 3\n", text)
        self.assertIn("  0 cats: 30\n", text)
        self.assertIn(re.search("SHA-256 ([0-9a-f]{64})", packed)[1], text)

    def test_partition(self):
        text = self.do("partition", self.pets, "--partition", "label", "--workers", 2,
                       "--outdir", self.folder / "split", "--quiet")
        rows = [line.split() for line in text.splitlines()[:3]]
        self.assertEqual(rows, [["worker", "samples", "divergence", "(nats)", "cats", "dogs"],
                                ["1", "30", "0.511", "30", "0"], ["2", "20", "0.916", "0", "20"]])
        page = (self.folder / "split" / "partition.html").read_text()
        self.assertIn("<svg", page)
        self.assertIn("dogs", page)
        plain = write_pngs(self.folder / "plain", {"": 7})
        text = self.do("partition", plain, "--workers", 3, "--outdir", self.folder / "split")
        self.assertEqual([line.split() for line in text.splitlines()[1:4]],
                         [["1", "3"], ["2", "2"], ["3", "2"]])
        self.refused(2, ["partition", plain, "--partition", "label"], "needs one label per image")

    def test_refusals(self):
        out = self.folder / "never.gpack"
        self.refused(2, ["pack", self.pets], "--out")
        self.refused(2, ["pack", self.pets, "--out", out, "--size", "0"], "--size", '"0"')
        self.refused(2, ["pack", self.pets, "--out", out, "--size", "8x"], "--size", '"8x"')
        self.refused(2, ["pack", self.pets, "--out", out, "--filter", "nearest"], "--filter",
                     "lanczos")
        self.refused(2, ["pack", self.pets, "--out", self.pets / "cats" / "0000.png"], "--out",
                     "neither")
        self.refused(2, ["partition", self.pets, "--partition", "dirichlet"], "--partition")
        self.refused(2, ["inspect", self.pets, "--attribute", "Smiling"], "Smiling")
        self.refused(2, ["inspect", self.pets, "--outdir", self.pets / "look"], "--outdir",
                     "outside")
        self.refused(3, ["inspect", self.folder / "none"], str(self.folder / "none"), "nothing")
        (self.folder / "empty").mkdir()
        self.refused(3, ["inspect", self.folder / "empty"], "empty")
        (self.folder / "text.txt").write_text("no images")
        self.refused(3, ["inspect", self.folder / "text.txt"], "text.txt")
        self.refused(3, ["pack", self.pets, "--out", self.folder / "no" / "x.gpack"], "No such")
        self.assertFalse(out.exists())

    def test_damaged_files_are_named(self):
        bad = write_pngs(self.folder / "bad", {"": 12})
        whole = (bad / "0007.png").read_bytes()
        out = self.folder / "never.gpack"
        for damaged in (whole[:-40], whole[:60], b"", b"GIF89a", png(1, 1, b"abc")[:20]):
            (bad / "0007.png").write_bytes(damaged)
            self.refused(3, ["pack", bad, "--out", out], "0007.png")
            self.refused(3, ["inspect", bad, "--outdir", self.folder / "look"], "0007.png")
        self.assertFalse([n for n in names(self.folder) if n.startswith("never")])
        self.do("pack", self.pets, "--size", 8, "--out", self.folder / "cut.gpack", "--quiet")
        data = (self.folder / "cut.gpack").read_bytes()
        for contents, fragment in ((data[:-1], "bytes as its header says"),
                                   (data[:100], "header of 4096 bytes"),
                                   (data[:PAGE] + bytes([data[PAGE] ^ 1]) + data[PAGE + 1:],
                                    "damaged"),
                                   (data[:8] + b"\2" + data[9:], "version 2")):
            (self.folder / "cut.gpack").write_bytes(contents)
            self.refused(3, ["inspect", self.folder / "cut.gpack"], "cut.gpack", fragment)

    def test_help_and_version(self):
        for words in (["--help"], ["pack", "--help"], ["inspect", "-h"], ["partition", "--help"]):
            self.assertIn("gantry-data", self.do(*words) + "gantry-data")
        self.assertRegex(self.do("--version"), r"^gantry-data \d+\.\d+\.\d+\n$")


if __name__ == "__main__":
    unittest.main()

# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""What the tests of own images share: pictures without a library, and runs of gantry-data.

The environment variable GANTRY_DATA_PROGRAM names it; GANTRY_DATA is --data of gantry-train.
"""
import os
import random
import struct
import subprocess
import sys
import unittest
import zlib
from pathlib import Path

from gantry_train_support import PATIENCE, ProgramTest

DATA = os.environ.get("GANTRY_DATA_PROGRAM", "")
if not Path(DATA).is_file():
    sys.exit(f"GANTRY_DATA_PROGRAM was expected to name the program gantry-data and is '{DATA}'; "
             "set it, or start this test with ctest -L integration")


def png(width: int, height: int, pixels: bytes, channels: int = 3) -> bytes:
    """A PNG file of 8 bits per channel."""
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I",
                                                                        zlib.crc32(kind + body))

    row = width * channels
    lines = b"".join(b"\0" + pixels[y * row:(y + 1) * row] for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines))
            + chunk(b"IEND", b""))


def write_pngs(folder: Path, classes: dict[str, int]) -> Path:
    """So many noisy pictures of 20 to 60 pixels in a sub-folder per class; "" is the folder."""
    noise = random.Random(5)
    for level, (name, count) in enumerate(classes.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            width, height = noise.randint(20, 60), noise.randint(20, 60)
            pixels = bytes(60 * level + (q & 31) for q in noise.randbytes(3 * width * height))
            (folder / name / f"{i:04}.png").write_bytes(png(width, height, pixels))
    return folder


class DataTest(ProgramTest):
    """Runs of gantry-data in a temporary folder."""

    @classmethod
    def data_program(cls, *words) -> subprocess.CompletedProcess:
        return subprocess.run([DATA, *map(str, words)], env=cls.environment, capture_output=True,
                              text=True, timeout=PATIENCE, cwd=cls.folder)

    def do(self, *words) -> str:
        """A run of gantry-data that must succeed: what it prints."""
        result = self.data_program(*words)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def refused(self, code: int, words: list, *fragments: str) -> None:
        """The exit code, and one sentence on stderr with these fragments."""
        result = self.data_program(*words, "--quiet")
        self.assert_refused(result, code, *fragments, program="gantry-data")

    @classmethod
    def skip_without_decoder(cls, pictures: Path) -> None:
        """Builds without libpng or libjpeg cannot read these pictures, and say so."""
        probe = cls.data_program("inspect", pictures, "--outdir", cls.folder / "probe")
        if "without a decoder" in probe.stderr:
            raise unittest.SkipTest(probe.stderr.splitlines()[0])

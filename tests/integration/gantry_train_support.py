# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""What the tests of the program gantry-train share: small data sets, runs, readers of its files.

The environment variable GANTRY_TRAIN names the program.
"""
import gzip
import hashlib
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib
from pathlib import Path

PROGRAM = os.environ.get("GANTRY_TRAIN", "")
if not Path(PROGRAM).is_file():
    sys.exit(f"GANTRY_TRAIN was expected to name the program gantry-train and is '{PROGRAM}'; "
             "set it, or start this test with ctest -L integration")
PATIENCE = 600  # seconds after which a run hangs; no test asserts how long something takes
SIDE = 28  # of the images in the files
TRAIN, TEST = 600, 120  # images
LOG, SCORES = "stats.jsonl", "metric-fid.jsonl"


# --- data sets

def images(count: int, seed: int) -> tuple[bytes, bytes]:
    """Noisy grey images with a bright bar whose place tells the class, and their labels."""
    patterns = []
    for label in range(10):
        top, left = 2 + 12 * (label // 5), 1 + 5 * (label % 5)
        patterns.append(bytes(200 if top <= y < top + 10 and left <= x < left + 5 else 10
                              for y in range(SIDE) for x in range(SIDE)))
    noise = random.Random(seed)
    pixels = bytearray()
    for i in range(count):
        pixels += bytes(p + (q & 31)
                        for p, q in zip(patterns[i % 10], noise.randbytes(SIDE * SIDE)))
    return bytes(pixels), bytes(i % 10 for i in range(count))


def write_split(folder: Path, prefix: str, count: int, seed: int, suffix: str) -> None:
    pixels, labels = images(count, seed)
    pack = gzip.compress if suffix == ".gz" else bytes
    (folder / f"{prefix}-images-idx3-ubyte{suffix}").write_bytes(
        pack(struct.pack(">4I", 0x803, count, SIDE, SIDE) + pixels))
    (folder / f"{prefix}-labels-idx1-ubyte{suffix}").write_bytes(
        pack(struct.pack(">2I", 0x801, count) + labels))


def write_data(folder: Path, train: int = TRAIN, test: int = TEST, suffix: str = "") -> Path:
    folder.mkdir(parents=True)
    write_split(folder, "train", train, 1, suffix)
    write_split(folder, "t10k", test, 2, suffix)
    return folder


def colour_images(count: int, seed: int, labels: int) -> bytes:
    """Records of CIFAR: so many bytes of the label, then noisy planes; the label is the colour."""
    noise, records = random.Random(seed), bytearray()
    for i in range(count):
        label = i % 10
        records += bytes([label] * labels)
        for plane in range(3):
            level = 25 * label if plane == label % 3 else 60
            records += bytes(level + (q & 15) for q in noise.randbytes(32 * 32))
    return bytes(records)


def write_cifar10(folder: Path, train: tuple[int, ...], test: int) -> Path:
    """The first file is plain, the others are the last of the official ones and packed."""
    folder.mkdir(parents=True)
    for i, count in enumerate(train):
        records = colour_images(count, i + 1, 1)
        if i == 0:
            (folder / "data_batch_1.bin").write_bytes(records)
        else:
            (folder / f"data_batch_{i + 3}.bin.gz").write_bytes(gzip.compress(records))
    (folder / "test_batch.bin").write_bytes(colour_images(test, 9, 1))
    return folder


def write_cifar100(folder: Path, train: int, test: int) -> Path:
    folder.mkdir(parents=True)
    for name, count, seed in (("train", train, 1), ("test", test, 2)):
        (folder / f"{name}.bin").write_bytes(colour_images(count, seed, 2))
    return folder


# --- runs

def command(settings: dict) -> list[str]:
    """Flags of the program: lr_g=1 is --lr-g 1, quiet=True is --quiet, False
    leaves it out, a list repeats its flag."""
    words = [PROGRAM]
    for key, value in settings.items():
        flag = "--" + key.replace("_", "-")
        for one in value if isinstance(value, list) else [value]:
            if one is True:
                words.append(flag)
            elif one is not None and one is not False:
                words += [flag, str(one)]
    return words


def models() -> list[str]:
    """The presets of this build, as the help lists them."""
    text = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True).stdout
    return re.search(r"--model TEXT:\{([^}]*)\}", text)[1].split(",")


MODEL = "mlp28" if "mlp28" in models() else models()[0]


class ProgramTest(unittest.TestCase):
    """A temporary folder with a data set, and runs of the program in it."""
    patience = PATIENCE

    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(prefix="gantry-train-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.data = write_data(cls.folder / "data")
        # Variables such as GANTRY_TRAIN name programs here; to a program they would be settings.
        usual = {key: value for key, value in os.environ.items() if not key.startswith("GANTRY_")}
        cls.environment = dict(usual, HOME=str(cls.folder), TERM="dumb",
                               XDG_CACHE_HOME=str(cls.folder / "cache"))

    @classmethod
    def settings(cls, **given) -> dict:
        usual = {"data_dir": cls.data, "model": MODEL, "workers": 2, "batch": 4, "threads": 2,
                 "metrics": "none", "iterations": 4, "log_every": 1,
                 "overwrite": "resume" not in given}
        return {**usual, **given}

    @classmethod
    def start(cls, **given) -> subprocess.Popen:
        return subprocess.Popen(command(cls.settings(**given)), env=cls.environment,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    @classmethod
    def call(cls, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run([PROGRAM, *words], env=cls.environment, capture_output=True,
                              text=True, timeout=cls.patience)

    @classmethod
    def run_program(cls, **given) -> subprocess.CompletedProcess:
        return cls.call(*command(cls.settings(**given))[1:])

    def train(self, **given) -> subprocess.CompletedProcess:
        """A run that must succeed."""
        result = self.run_program(**given)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def assert_refused(self, result, code: int, *fragments: str,
                       program: str = "gantry-train") -> None:
        """The exit code, and one sentence on stderr with these fragments. Call it with quiet."""
        self.assertEqual(result.returncode, code, result.stderr)
        lines = result.stderr.splitlines()
        self.assertEqual(len(lines), 1, result.stderr)
        self.assertTrue(lines[0].startswith(f"{program}: "), lines[0])
        self.assertNotRegex(lines[0], r"[.!?] +[A-Z]|[.!]$|std::|what\(\)|filesystem error")
        for fragment in fragments:
            self.assertIn(fragment, lines[0])


# --- what a run leaves

def names(folder: Path) -> set[str]:
    """What is in a folder; event files, whose names differ from run to run, are "events"."""
    return {"events" if p.name.startswith("events.out.tfevents.") else p.name + "/" * p.is_dir()
            for p in folder.iterdir()}


def snapshot(folder: Path) -> dict[str, tuple]:
    """Everything below a folder, to see whether something was touched."""
    return {str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.stat().st_size)
            for p in sorted(folder.rglob("*")) if p.is_file()}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def checkpoint(outdir: Path, iteration: int) -> Path:
    return outdir / f"network-snapshot-{iteration:06d}"


def manifest_hash(outdir: Path, iteration: int) -> str:
    return sha256(checkpoint(outdir, iteration) / "MANIFEST.json")


def lines(path: Path) -> list[dict]:
    text = path.read_text()
    assert text == "" or text.endswith("\n"), f"{path} ends in the middle of a line"
    return [json.loads(line, parse_constant=refuse_constant) for line in text.splitlines()]


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def figures(log: list[dict]) -> list[dict]:
    """Lines without what differs from run to run: times and memory."""
    return [{key: value for key, value in line.items() if "seconds" not in key
             and "_mem_" not in key and key not in ("images_per_second", "hidden_fraction")}
            for line in log]


def read_png(path: Path) -> tuple[int, int, int]:
    """Width, height and channels of a PNG whose check sums and size are right."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", f"{path} is no PNG"
    at, packed, header, last = 8, b"", None, None
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        last, body = data[at + 4:at + 8], data[at + 8:at + 8 + size]
        (check,) = struct.unpack_from(">I", data, at + 8 + size)
        assert zlib.crc32(last + body) == check, f"{path}: check sum of {last}"
        header = body if last == b"IHDR" else header
        packed += body if last == b"IDAT" else b""
        at += 12 + size
    assert last == b"IEND" and at == len(data), f"{path} has no end"
    width, height, depth, colour = struct.unpack_from(">IIBB", header)
    channels = {0: 1, 2: 3}[colour]
    assert depth == 8 and len(zlib.decompress(packed)) == height * (1 + width * channels)
    return width, height, channels


def read_pixels(path: Path) -> tuple[tuple[int, int, int], bytes]:
    """Height, width and channels, and the pixels, of a PNG that read_png accepts; filters are none,
    left and up."""
    width, height, channels = read_png(path)
    data, at, stored = path.read_bytes(), 8, b""
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        stored += data[at + 8:at + 8 + size] if data[at + 4:at + 8] == b"IDAT" else b""
        at += 12 + size
    rows, stride, pixels = zlib.decompress(stored), width * channels, bytearray()
    above = bytes(stride)
    for y in range(height):
        kind, *row = rows[y * (stride + 1):(y + 1) * (stride + 1)]
        for x in range(stride):
            left = row[x - channels] if x >= channels else 0
            row[x] = (row[x] + (0, left, above[x])[kind]) & 255
        above = bytes(row)
        pixels += above
    return (height, width, channels), bytes(pixels)


def read_safetensors(path: Path) -> dict[str, list[int]]:
    """Shapes of the tensors of a file whose header fits to its bytes."""
    data = path.read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    at = 0
    for name, info in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        count = 1
        for extent in info["shape"]:
            count *= extent
        begin, end = info["data_offsets"]
        assert (begin, end - begin) == (at, count * {"F32": 4, "I64": 8}[info["dtype"]]), name
        at = end
    assert 8 + size + at == len(data), f"{path}: {len(data)} bytes, {8 + size + at} described"
    return {name: info["shape"] for name, info in header.items()}

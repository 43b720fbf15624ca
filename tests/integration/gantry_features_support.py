# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""What the tests of the program gantry-features share: safetensors files, and runs of the program.

The environment variable GANTRY_FEATURES names the program.
"""
import array
import json
import math
import os
import random
import struct
import subprocess
import sys
from pathlib import Path

PROGRAM = os.environ.get("GANTRY_FEATURES", "")
if not Path(PROGRAM).is_file():
    sys.exit(f"GANTRY_FEATURES was expected to name the program gantry-features and is "
             f"'{PROGRAM}'; set it, or start this test with ctest -L integration")
PATIENCE = 600  # seconds after which a run hangs; no test asserts how long something takes
SIZES = {"F32": 4, "U8": 1, "I64": 8}


def write_tensors(path: Path, tensors: dict[str, tuple[str, list[int], bytes]]) -> Path:
    """A safetensors file of tensors: name to dtype, shape and bytes."""
    header, end = {}, 0
    for name, (dtype, shape, blob) in tensors.items():
        assert len(blob) == math.prod(shape) * SIZES[dtype], name
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(blob)]}
        end += len(blob)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text +
                     b"".join(blob for _, _, blob in tensors.values()))
    return path


def read_tensors(path: Path) -> dict[str, tuple[str, list[int], bytes]]:
    """The tensors of a safetensors file, as write_tensors takes them."""
    content = path.read_bytes()
    start = 8 + struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    return {name: (t["dtype"], t["shape"],
                   content[start + t["data_offsets"][0]:start + t["data_offsets"][1]])
            for name, t in header.items()}


def rows(tensor: tuple[str, list[int], bytes]) -> list[array.array]:
    """The rows of a tensor of two axes."""
    _, (n, width), blob = tensor
    values = array.array("f", blob)
    return [values[i * width:(i + 1) * width] for i in range(n)]


def write_images(path: Path, shape: list[int], pixels: bytes) -> Path:
    return write_tensors(path, {"images": ("U8", shape, pixels)})


def random_resnet20(seed: int) -> dict[str, tuple[str, list[int], bytes]]:
    """A state dict with the names and shapes of the published one."""
    source, tensors = random.Random(seed), {}

    def add(name: str, shape: list[int], low: float, high: float) -> None:
        count = math.prod(shape)
        values = [source.uniform(low, high) for _ in range(count)]
        tensors[name] = ("F32", shape, struct.pack(f"<{count}f", *values))

    def add_conv(prefix: str, number: str, out: int, inputs: int) -> None:
        add(f"{prefix}conv{number}.weight", [out, inputs, 3, 3], -0.2, 0.2)
        for name, low in (("weight", 0.5), ("bias", -0.5), ("running_mean", -0.5),
                          ("running_var", 0.5)):
            add(f"{prefix}bn{number}.{name}", [out], low, 1.0)

    add_conv("", "1", 16, 3)
    inputs = 16
    for stage, out in ((1, 16), (2, 32), (3, 64)):
        for i in range(3):
            add_conv(f"layer{stage}.{i}.", "1", out, inputs)
            add_conv(f"layer{stage}.{i}.", "2", out, out)
            inputs = out
    add("linear.weight", [10, 64], -0.2, 0.2)
    add("linear.bias", [10], -0.2, 0.2)
    return tensors


def run(network: str, images: Path, result: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, network, str(images), str(result)], capture_output=True,
                          text=True, timeout=PATIENCE, check=False)

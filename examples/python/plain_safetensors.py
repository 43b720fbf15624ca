# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""load_file and save_file of the package safetensors, for NumPy arrays, where it is not installed.

A file is a 64-bit header size, a JSON header with dtype, shape and data_offsets of each tensor,
then the bytes of all tensors.
"""
from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "U8": "|u1"}


def load_file(path: str | Path) -> dict[str, numpy.ndarray]:
    data = Path(path).read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    tensors = {}
    for name, about in header.items():
        begin, end = (8 + size + offset for offset in about["data_offsets"])
        flat = numpy.frombuffer(data[begin:end], DTYPES[about["dtype"]])
        tensors[name] = flat.reshape(about["shape"]).copy()
    return tensors


def save_file(tensors: dict[str, numpy.ndarray], path: str | Path,
              metadata: dict[str, str] | None = None) -> None:
    header, parts, end = {}, [], 0
    if metadata:
        header["__metadata__"] = metadata
    for name, values in tensors.items():
        kind = next(k for k, v in DTYPES.items() if numpy.dtype(v) == values.dtype)
        parts.append(numpy.ascontiguousarray(values).tobytes())
        header[name] = {"dtype": kind, "shape": list(values.shape),
                        "data_offsets": [end, end + len(parts[-1])]}
        end += len(parts[-1])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))

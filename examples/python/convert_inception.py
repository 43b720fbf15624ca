#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Converts the weights of Inception-v3 from PyTorch to the safetensors file that Gantry reads:

    convert_inception.py pt_inception-2015-12-05-6726825d.pth inception.safetensors

The input is the state of pytorch-fid's network, the one that FID is defined with, or torchvision's
(inception_v3_google-0cc3c7bd.pth). Needs torch and numpy. Prints the SHA-256 of the file, which
Gantry's programs print with every figure. Exit codes: 0 converted, 2 usage, 3 the input is refused.
"""
import argparse
import hashlib
import json
import os
import struct
import sys
from pathlib import Path

CLASSES = {1008: "inception-v3-fid2015", 1000: "inception-v3-torchvision"}
LEFT_OUT = ("AuxLogits.",)  # takes part in training only


class Refusal(Exception):
    """One sentence on what is wrong with the input."""


def encode(tensors: dict[str, "torch.Tensor"], metadata: dict[str, str]) -> bytes:
    """A safetensors file: size of the header, header, bytes of all tensors."""
    header, blobs, end = {"__metadata__": metadata}, [], 0
    for name in sorted(tensors):
        blob = tensors[name].contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensors[name].shape),
                        "data_offsets": [end, end + len(blob)]}
        blobs.append(blob)
        end += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(blobs)


def read_state(path: Path) -> dict[str, "torch.Tensor"]:
    """The tensors of a state dict."""
    import torch
    try:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except TypeError:  # torch before 1.13
            state = torch.load(path, map_location="cpu")
    except OSError as failure:
        raise Refusal(f"{path} cannot be read ({failure.strerror}); check its name") from failure
    except Exception as failure:  # pickle raises whatever it likes
        raise Refusal(f"{path} was expected to be a state dict saved by PyTorch and cannot be "
                      f"loaded ({failure}); download it again") from failure
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise Refusal(f"{path} was expected to hold a state dict, names and tensors, and holds "
                      "something else; save model.state_dict()")
    return state


def convert(state: dict[str, "torch.Tensor"], source: str) -> bytes:
    """The file for a network's state."""
    import torch
    kept = {name: value.to(torch.float32) for name, value in state.items()
            if not name.startswith(LEFT_OUT) and not name.endswith(".num_batches_tracked")}
    last = kept.get("fc.weight")
    if last is None or "Mixed_7c.branch_pool.conv.weight" not in kept:
        raise Refusal(f"{source} was expected to hold an Inception-v3 and has no fc.weight or no "
                      "Mixed_7c; use pytorch-fid's or torchvision's file")
    if last.shape[0] not in CLASSES:
        raise Refusal(f"{source} was expected to have 1008 classes (pytorch-fid) or 1000 "
                      f"(torchvision) and has {last.shape[0]}; use one of these files")
    return encode(kept, {"format": "pt", "network": CLASSES[last.shape[0]], "source": source})


def write_atomically(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + f".{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as failure:
        temporary.unlink(missing_ok=True)
        raise Refusal(f"{path} cannot be written ({failure.strerror}); choose another") from failure


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("input", type=Path, help="the .pth file")
    parser.add_argument("output", type=Path, help="the .safetensors file to write")
    arguments = parser.parse_args()
    try:
        import numpy  # noqa: F401 (behind torch's Tensor.numpy)
        import torch  # noqa: F401
    except ImportError as missing:
        print(f"convert_inception.py needs the Python modules torch and numpy and there is no "
              f"{missing.name}; install PyTorch and NumPy", file=sys.stderr)
        return 2
    try:
        content = convert(read_state(arguments.input), arguments.input.name)
        write_atomically(arguments.output, content)
    except Refusal as sentence:
        print(f"convert_inception.py: {sentence}", file=sys.stderr)
        return 3
    print(f"{hashlib.sha256(content).hexdigest()}  {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

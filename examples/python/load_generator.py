#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Draws images with a generator of gantry-train in PyTorch.

    gantry-train --model dcgan28 --outdir runs/a ...
    load_generator.py runs/a images.npy [--latents latents.npy]

Reads generator_ema.safetensors of a checkpoint, or of the latest one in the folder of a run, and
writes images [n][height][width][channel] in [-1, 1], those of given latents [n][100] or of 16
random ones. gantry-train --sample N --npy writes such latents, and its own images of them.
"""
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import NoReturn

import numpy
import torch
from torch import nn

try:
    from safetensors.numpy import load_file
except ImportError:
    from plain_safetensors import load_file


class Dcgan28(nn.Sequential):
    """The generator of dcgan28; its layers' numbers are those in the names of the tensors."""

    def __init__(self) -> None:
        super().__init__(
            nn.Linear(100, 7 * 7 * 128, bias=False), nn.Unflatten(1, (128, 7, 7)),
            nn.BatchNorm2d(128), nn.ReLU(),
            nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
            nn.ConvTranspose2d(64, 1, 4, 2, 1, bias=False), nn.Tanh())


class Dcgan(nn.Sequential):
    """The generators of dcgan32 and dcgan64, which are PyTorch's DCGAN example by its layers."""

    def __init__(self, *widths: int) -> None:
        layers: list[nn.Module] = [nn.Unflatten(1, (100, 1, 1))]
        for i, (before, after) in enumerate(zip((100, *widths), (*widths, 3))):
            layers.append(nn.ConvTranspose2d(before, after, 4, min(i + 1, 2), min(i, 1),
                                             bias=False))
            layers += [nn.BatchNorm2d(after), nn.ReLU()] if after != 3 else [nn.Tanh()]
        super().__init__()  # the first has no number: the file knows latents as 1 x 1 images
        for i, layer in enumerate(layers):
            self.add_module("latent" if i == 0 else str(i - 1), layer)


class Mlp28(nn.Sequential):
    """The generator of mlp28."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(100, 512), nn.LeakyReLU(0.2), nn.Linear(512, 512),
                         nn.LeakyReLU(0.2), nn.Linear(512, 784), nn.Tanh(),
                         nn.Unflatten(1, (1, 28, 28)))


GENERATORS = {"dcgan28": Dcgan28, "mlp28": Mlp28, "dcgan32": lambda: Dcgan(256, 128, 64),
              "dcgan64": lambda: Dcgan(512, 256, 128, 64)}


def refuse(sentence: str) -> NoReturn:
    """Ends the program as those of Gantry do when they refuse a file."""
    print(f"load_generator.py: {sentence}", file=sys.stderr)
    raise SystemExit(3)


def find_checkpoint(folder: Path) -> Path:
    """The folder itself, or the latest complete checkpoint of a run."""
    complete = [path.parent for path in (folder / "MANIFEST.json",
                                         *folder.glob("network-snapshot-*/MANIFEST.json"))
                if path.is_file()]
    if not complete:
        refuse(f"expected a checkpoint of gantry-train or the folder of a run and found none at "
               f"{folder}; give a folder with a MANIFEST.json or one that holds such folders")
    return max(complete, key=lambda path: (path == folder, len(path.name), path.name))


def load_generator(folder: Path) -> nn.Module:
    """The averaged generator of a checkpoint, or of the latest one of a run, ready to evaluate."""
    checkpoint = find_checkpoint(folder)
    model = json.loads((checkpoint / "config.json").read_text())["model"]
    if model not in GENERATORS:
        refuse(f"{checkpoint} was expected to be of {', '.join(GENERATORS)} and is of {model}; "
               "write its module into this file")
    generator = GENERATORS[model]()
    weights = load_file(checkpoint / "generator_ema.safetensors")
    generator.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
    return generator.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="or the folder of a run")
    parser.add_argument("images", type=Path)
    parser.add_argument("--latents", type=Path)
    given = parser.parse_args()
    try:
        generator = load_generator(given.checkpoint)
        latents = (torch.from_numpy(numpy.load(given.latents)) if given.latents
                   else torch.randn(16, 100))
        with torch.no_grad():
            images = generator(latents)
        numpy.save(given.images, images.permute(0, 2, 3, 1).contiguous().numpy())
    except Exception as reason:  # each reader of files has kinds of its own
        refuse(f"cannot draw images of {given.checkpoint} ({type(reason).__name__}: "
               f"{' '.join(str(reason).split()).rstrip('.')}); check the files")


if __name__ == "__main__":
    main()

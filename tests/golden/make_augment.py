#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Writes what DiffAugment (Zhao et al., arXiv 2006.10738) and a flip make of images in PyTorch:
make_augment.py [folder].

The changes are written as the authors define them, one after the other: colour (brightness,
saturation, contrast), translation, cutout, then the flip. Their random numbers come from the
library's streams (base/rng.hpp), one block per sample and change.

augment.safetensors is read by augment_test.cpp. For both shapes: `x` and `weight` are [n, h, w, c],
`y` is the result and `dx` the gradient of sum(weight * y); <shape>.<change>.y is the result of one
change alone.
"""
import os
import sys

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
import torch
from torch.nn import functional as F

from make_objectives import philox
from make_steps import write

SEED, STEP, WORKER, DROPOUT_STREAM, PASS = 5, 3, 2, 5, 4


def words(sample, layer):
    """The block of a sample in the stream of layer number `layer` of a network."""
    salt = PASS * 256 + layer
    return philox([sample, STEP, WORKER, DROPOUT_STREAM | salt << 8], [SEED, 0])


def unit(word):
    return ((word >> 8) + 1) * 2.0 ** -24


def each(x, layer, change):
    """Applies change(image [1, c, h, w], words) to every image by itself."""
    return torch.cat([change(x[i:i + 1], words(i, layer)) for i in range(len(x))])


def color(x, w):
    brightness, saturation, contrast = (unit(v) for v in w[:3])
    x = x + (brightness - 0.5)
    mean = x.mean(dim=1, keepdim=True)
    x = (x - mean) * (saturation * 2) + mean
    mean = x.mean(dim=[1, 2, 3], keepdim=True)
    return (x - mean) * (contrast + 0.5) + mean


def rounded(extent, ratio):
    return int(extent * ratio + 0.5)


def integer(word, count):
    return word * count >> 32


def translation(x, w):
    h, width = x.shape[2:]
    a, b = rounded(h, 0.125), rounded(width, 0.125)
    down, right = integer(w[0], 2 * a + 1) - a, integer(w[1], 2 * b + 1) - b
    wide = F.pad(x, [b, b, a, a])
    return wide[:, :, a + down:a + down + h, b + right:b + right + width]


def cutout(x, w):
    mask = torch.ones_like(x)
    chosen = []
    for word, extent in zip(w, x.shape[2:]):
        size = rounded(extent, 0.5)
        middle = integer(word, extent + 1 - size % 2)
        chosen.append((torch.arange(size) + middle - size // 2).clamp(0, extent - 1))
    mask[:, :, chosen[0][:, None], chosen[1][None, :]] = 0
    return x * mask


def flip(x, w):
    return torch.flip(x, [3]) if w[0] >> 31 else x


CHANGES = (color, translation, cutout, flip)


def pixels(x):
    return x.detach().permute(0, 2, 3, 1).contiguous()


def case(name, n, c, h, w):
    x = torch.tanh(torch.randn(n, c, h, w)).requires_grad_(True)
    weight = torch.randn(n, c, h, w)
    y = x
    for layer, change in enumerate(CHANGES):
        y = each(y, layer, change)
    (weight * y).sum().backward()
    out = {f"{name}.x": pixels(x), f"{name}.weight": pixels(weight), f"{name}.y": pixels(y),
           f"{name}.dx": pixels(x.grad)}
    for change in CHANGES:
        out[f"{name}.{change.__name__}.y"] = pixels(each(x, 0, change))
    return out


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(1)
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    write(os.path.join(folder, "augment.safetensors"),
          {**case("colour", 6, 3, 12, 9), **case("grey", 5, 1, 14, 14)})

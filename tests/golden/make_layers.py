#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Writes what layers of PyTorch compute, up to second derivatives: make_layers.py [folder].

layers.safetensors and layers_more.safetensors, which layers_test.cpp reads, have for every case,
computed in double:
  <case>.x .tx .gy .ey         random inputs; tx is shaped like x, gy and ey like the output
  <case>.<name>                parameters, for each <name> of PyTorch's
  <case>.y                     the output
  <case>.dx .d.<name>          gradients of <gy, y>
  <case>.ty                    the derivative of y along tx
  <case>.ex .e.<name>          gradients of <gy, ty> + <ey, y>, by differentiating twice
"""
import os
import sys

import torch
from torch import nn

from make_steps import write


class PixelNorm(nn.Module):
    def forward(self, x):
        return x / torch.sqrt((x * x).mean(1, keepdim=True) + 1e-8)


class Filtered(nn.Module):
    """R3GAN's resamplers with the filter [1, 2, 1], as convolutions with a fixed kernel."""

    def __init__(self, up):
        super().__init__()
        axis = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8
        self.up, self.kernel = up, (axis[:, None] * axis)[None, None]

    def forward(self, x):
        each = x.reshape(-1, 1, *x.shape[2:])
        if self.up:
            y = nn.functional.conv_transpose2d(each, 4 * self.kernel, stride=2, padding=1)
        else:
            y = nn.functional.conv2d(each, self.kernel, stride=2, padding=1)
        return y.reshape(*x.shape[:2], *y.shape[2:])


def record(case, module, shape):
    module = module.double()
    names = [name for name, _ in module.named_parameters()]
    params = [p for _, p in module.named_parameters()]
    with torch.no_grad():
        for p in params:
            p.copy_(p + 0.3 * torch.randn_like(p))
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    tx = torch.randn_like(x)
    y = module(x)
    gy = torch.randn_like(y).requires_grad_()
    ey = torch.randn_like(y)
    dx, *first = torch.autograd.grad(y, [x] + params, gy, create_graph=True)
    both = (dx * tx).sum() + (ey * y).sum()
    ty, = torch.autograd.grad((dx * tx).sum(), gy, retain_graph=True)
    ex, *second = torch.autograd.grad(both, [x] + params, allow_unused=True)
    values = {"x": x, "tx": tx, "gy": gy, "ey": ey, "y": y, "dx": dx, "ty": ty, "ex": ex}
    for name, p, d, e in zip(names, params, first, second):
        values.update({name: p, f"d.{name}": d, f"e.{name}": e})
    return {f"{case}.{name}": value.detach() for name, value in values.items()}


def layers():
    torch.manual_seed(1)
    image, odd = (2, 16, 3, 4), (2, 16, 5, 3)
    out = {}
    out.update(record("group_norm", nn.GroupNorm(4, 16), image))
    out.update(record("layer_norm", nn.GroupNorm(1, 16), image))
    out.update(record("instance_norm", nn.InstanceNorm2d(16, affine=True), image))
    out.update(record("thin_group_norm", nn.GroupNorm(2, 6), (2, 6, 3, 4)))
    out.update(record("pixel_norm", PixelNorm(), image))
    out.update(record("upsample_nearest", nn.Upsample(scale_factor=2, mode="nearest"), odd))
    bilinear = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    out.update(record("upsample_bilinear", bilinear, odd))
    out.update(record("average_pool", nn.AvgPool2d(2), odd))
    out.update(record("global_average_pool", nn.AdaptiveAvgPool2d(1), odd))
    out.update(record("grouped_conv2d", nn.Conv2d(32, 32, 3, 2, 1, groups=2), (2, 32, 5, 4)))
    out.update(record("thin_grouped_conv2d", nn.Conv2d(4, 6, 3, 1, 1, groups=2), (2, 4, 5, 4)))
    out.update(record("upsample_filtered", Filtered(True), odd))
    out.update(record("downsample_filtered", Filtered(False), (2, 16, 4, 6)))
    return out


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    everything = layers()
    more = {name: value for name, value in everything.items()
            if "grouped" in name or "filtered" in name}
    rest = {name: value for name, value in everything.items() if name not in more}
    write(os.path.join(folder, "layers.safetensors"), rest)
    write(os.path.join(folder, "layers_more.safetensors"), more)

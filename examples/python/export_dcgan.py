#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Makes a state dictionary of PyTorch a safetensors file that gantry-train starts from.

    export_dcgan.py netG_epoch_24.pth netG.safetensors
    gantry-train --model dcgan64 --init-generator netG.safetensors ...

The .pth is what PyTorch's DCGAN example saves (torch.save(netG.state_dict(), ...)), of Generator or
Discriminator below, whose layers are those of dcgan64 (ngf = ndf = 64, nc = 3). Names stay as they
are (main.0.weight, ...). A .pth is a pickle, which can run code: take only files that you trust.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn

try:
    from safetensors.numpy import save_file
except ImportError:
    from plain_safetensors import save_file


class Generator(nn.Module):
    """That of github.com/pytorch/examples, dcgan/main.py; dcgan32 has the widths (256, 128, 64)."""

    def __init__(self, widths: tuple[int, ...] = (512, 256, 128, 64), nz: int = 100,
                 nc: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.ConvTranspose2d(nz, widths[0], 4, 1, 0, bias=False)]
        for before, after in zip(widths, (*widths[1:], nc)):
            layers += [nn.BatchNorm2d(before), nn.ReLU(True),
                       nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False)]
        self.main = nn.Sequential(*layers, nn.Tanh())

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        return self.main(latents)


class Discriminator(nn.Module):
    """That of github.com/pytorch/examples, dcgan/main.py; dcgan32 has the widths (64, 128, 256)."""

    def __init__(self, widths: tuple[int, ...] = (64, 128, 256, 512), nc: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(nc, widths[0], 4, 2, 1, bias=False),
                                   nn.LeakyReLU(0.2, True)]
        for before, after in zip(widths, widths[1:]):
            layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after),
                       nn.LeakyReLU(0.2, True)]
        self.main = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 0, bias=False),
                                  nn.Sigmoid())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.main(images).view(-1, 1).squeeze(1)


def export(state: dict[str, torch.Tensor], path: Path) -> None:
    save_file({name: value.cpu().contiguous().numpy() for name, value in state.items()}, path,
              metadata={"format": "pt"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("state", type=Path, help="a .pth file")
    parser.add_argument("out", type=Path, help="the .safetensors file")
    given = parser.parse_args()
    export(torch.load(given.state, map_location="cpu"), given.out)


if __name__ == "__main__":
    main()

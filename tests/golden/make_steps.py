#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Writes what ten training steps of two small GANs in PyTorch leave behind: make_steps.py [folder].

A step is that of the PyTorch DCGAN example: D on a real and on a fake batch, Adam for D; then G
through the updated D on the same fakes, Adam for G. Binary cross-entropy with logits, the
non-saturating generator loss, single precision, one thread.

Each file is a safetensors file that steps_test.cpp reads. Tensors have PyTorch's layout, X is G or
D, and layers are numbered as in the test's networks (without Flatten: a linear flattens):
  initial.X.<layer>.<name>  step1.X...  step10.X...   weights and running statistics
  gradient.X.<layer>.<name>                           gradients of step 1
  z [steps, batch, latent]  real [pool, batch, ...]   inputs; step k takes real batch k % pool
  losses [steps, 3]                                   D real, D fake, G
"""
import json
import os
import shlex
import struct
import sys

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
import torch
from torch import nn
from torch.nn import functional as F

STEPS, POOL = 10, 4


class View(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.shape = shape

    def forward(self, x):
        return x.reshape(len(x), *self.shape)


def mlp():
    generator = nn.Sequential(nn.Linear(16, 32), nn.LeakyReLU(0.2), nn.Linear(32, 64), nn.Tanh())
    discriminator = nn.Sequential(nn.Linear(64, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
    return generator, discriminator, 16, (64,), 8


def dcgan():
    generator = nn.Sequential(
        nn.Linear(8, 6 * 7 * 7, bias=False), View(6, 7, 7), nn.BatchNorm2d(6), nn.ReLU(),
        nn.ConvTranspose2d(6, 4, 4, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
        nn.ConvTranspose2d(4, 1, 4, 2, 1, bias=False), nn.Tanh())
    discriminator = nn.Sequential(
        nn.Conv2d(1, 4, 4, 2, 1, bias=False), nn.LeakyReLU(0.2),
        nn.Conv2d(4, 6, 4, 2, 1, bias=False), nn.BatchNorm2d(6), nn.LeakyReLU(0.2),
        nn.Flatten(), nn.Linear(6 * 7 * 7, 1))
    return generator, discriminator, 8, (1, 28, 28), 4


def initialise(net):
    """Wider than DCGAN's 0.02, so that gradients of these small networks stand out of rounding."""
    for p in net.parameters():
        if p.dim() > 1:
            nn.init.normal_(p, 0.0, 0.1)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.normal_(m.weight, 1.0, 0.1)
            nn.init.normal_(m.bias, 0.0, 0.1)


def tensors(prefix, net, of=lambda t: t):
    """Named copies of a Sequential's tensors, layers numbered without Flatten."""
    out, number = {}, 0
    for layer in net:
        if isinstance(layer, nn.Flatten):
            continue
        for name, value in list(layer.named_parameters()) + list(layer.named_buffers()):
            if not name.endswith("num_batches_tracked") and of(value) is not None:
                out[f"{prefix}.{number}.{name}"] = of(value).detach().clone()
        number += 1
    return out


def train(build):
    torch.manual_seed(1)
    g, d, latent, shape, batch = build()
    initialise(g), initialise(d)
    z = torch.randn(STEPS, batch, latent)
    real = torch.tanh(torch.randn(POOL, batch, *shape))
    out = {"z": z, "real": real, **tensors("initial.G", g), **tensors("initial.D", d)}
    adam = [torch.optim.Adam(n.parameters(), lr=2e-4, betas=(0.5, 0.999)) for n in (g, d)]
    one, zero = torch.ones(batch, 1), torch.zeros(batch, 1)
    loss = F.binary_cross_entropy_with_logits
    losses = []
    for step in range(STEPS):
        adam[1].zero_grad()
        on_real = loss(d(real[step % POOL]), one)
        on_real.backward()
        fake = g(z[step])
        on_fake = loss(d(fake.detach()), zero)
        on_fake.backward()
        if step == 0:
            out.update(tensors("gradient.D", d, lambda t: t.grad))
        adam[1].step()
        adam[0].zero_grad()
        for_g = loss(d(fake), one)
        for_g.backward()
        if step == 0:
            out.update(tensors("gradient.G", g, lambda t: t.grad))
        adam[0].step()
        losses.append([on_real.item(), on_fake.item(), for_g.item()])
        if step + 1 in (1, STEPS):
            out.update(tensors(f"step{step + 1}.G", g))
            out.update(tensors(f"step{step + 1}.D", d))
    out["losses"] = torch.tensor(losses)
    return out


def write(path, values):
    header = {"__metadata__": {"torch": torch.__version__,
                               "command": shlex.join(["python3", os.path.basename(sys.argv[0])])}}
    data = b""
    for name, value in values.items():
        numbers = value.contiguous().flatten().tolist()
        header[name] = {"dtype": "F32", "shape": list(value.shape),
                        "data_offsets": [len(data), len(data) + 4 * len(numbers)]}
        data += struct.pack(f"<{len(numbers)}f", *numbers)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)
    print(f"{path}: {8 + len(text) + len(data)} bytes, {len(values)} tensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    for build in (mlp, dcgan):
        write(os.path.join(folder, f"steps_{build.__name__}.safetensors"), train(build))

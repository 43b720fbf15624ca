#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Writes what ten training steps with penalties and other modern objectives leave behind in
PyTorch: make_objectives.py [folder].

A step is one round of dist::standalone: D on a real and a fake batch, then G through the updated D
on the same fakes; penalties by torch.autograd.grad(create_graph=True). Latents and the numbers that
penalties draw come from the library's streams (base/rng.hpp), written again here.

Each file is a safetensors file that objectives_test.cpp reads, with names as in make_steps.py;
`real` is [pool, batch, h, w, c] and `losses` is [steps, 2]: D with its penalties, G.
"""
import math
import os
import sys

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import spectral_norm

from make_steps import STEPS, POOL, View, tensors, write

SEED, LATENT_STREAM, PENALTY_STREAM, PENALTY_PASS = 5, 2, 10, 0xFFFC


def philox(counter, key):
    """Philox4x32-10."""
    mask = 0xFFFFFFFF
    for _ in range(10):
        p0, p1 = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [(p1 >> 32) ^ counter[1] ^ key[0], p1 & mask, (p0 >> 32) ^ counter[3] ^ key[1],
                   p0 & mask]
        key = [(key[0] + 0x9E3779B9) & mask, (key[1] + 0xBB67AE85) & mask]
    return counter


def uniform_words(count, step, use, salt=0):
    words = []
    for i in range((count + 3) // 4):
        words += philox([i, step, 0, (use | salt << 8) & 0xFFFFFFFF], [SEED, 0])
    return words[:count]


def uniforms(count, step, use, salt=0):
    """The first numbers of a stream, in (0, 1]."""
    return [((w >> 8) + 1) * 2.0 ** -24 for w in uniform_words(count, step, use, salt)]


def normals(step, *shape):
    count = math.prod(shape)
    u = uniforms(4 * ((count + 3) // 4), step, LATENT_STREAM)
    out = []
    for a, b in zip(u[0::2], u[1::2]):
        radius = math.sqrt(-2 * math.log(a))
        out += [radius * math.cos(2 * math.pi * b), radius * math.sin(2 * math.pi * b)]
    return torch.tensor(out[:count]).reshape(shape)


def below(bound, count, step):
    """Draws of random_sequence::below from the stream of a batch's classes."""
    out, words = [], uniform_words(4 * count, step, LATENT_STREAM, 1)
    threshold = (2 ** 32 - bound) % bound
    for word in words:
        if (word * bound) & 0xFFFFFFFF >= threshold:
            out.append(word * bound >> 32)
    return torch.tensor(out[:count])


class Labelled(nn.Module):
    """A layer that reads `labels`, which the training loop sets."""
    labels = None


class ConcatLabel(Labelled):
    def __init__(self, classes, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(classes, dim))

    def forward(self, x):
        return torch.cat([x, self.weight[Labelled.labels]], 1)


class ConditionalBatchNorm(Labelled):
    def __init__(self, channels, classes):
        super().__init__()
        self.bn = nn.BatchNorm2d(channels, affine=False)
        self.embed = nn.Embedding(classes, 2 * channels)

    def forward(self, x):
        gamma, beta = self.embed(Labelled.labels).chunk(2, 1)
        return gamma[:, :, None, None] * self.bn(x) + beta[:, :, None, None]


class LabelProduct(Labelled):
    def __init__(self, features, classes):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(classes, features))

    def forward(self, x):
        return (x.flatten(1) * self.weight[Labelled.labels]).sum(1, keepdim=True)


class FlatLinear(nn.Linear):
    def forward(self, x):
        return super().forward(x.flatten(1))


class Residual(nn.Module):
    def __init__(self, branch, shortcut=None):
        super().__init__()
        self.branch, self.shortcut = branch, shortcut or nn.Sequential()

    def forward(self, x):
        return self.branch(x) + self.shortcut(x)


def squared_norm(d, x):
    (g,) = torch.autograd.grad(d(x).sum(), x, create_graph=True)
    return g.flatten(1).square().sum(1)


def points(x):
    return x.detach().clone().requires_grad_(True)


class WganGp:
    """Gulrajani et al. on a residual critic."""
    name, batch = "wgan_gp", 4

    def networks(self):
        d = nn.Sequential(
            nn.Conv2d(3, 6, 3, 2, 1), nn.LeakyReLU(0.2),
            Residual(nn.Sequential(nn.ReLU(), nn.Conv2d(6, 6, 3, 1, 1), nn.ReLU(),
                                   nn.Conv2d(6, 7, 3, 2, 1)),
                     nn.Sequential(nn.Conv2d(6, 7, 1, 2))),
            nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(7 * 4, 1))
        return generator(), d

    def discriminator(self, d, real, fake, step):
        u = torch.tensor(uniforms(len(real), step, PENALTY_STREAM, PENALTY_PASS * 16))
        u = u.reshape(-1, 1, 1, 1)
        x = points(u * real + (1 - u) * fake)
        loss = d(fake).mean() - d(real).mean()
        return loss + 10 * (squared_norm(d, x).sqrt() - 1).square().mean()

    def generator(self, d, real, fake):
        return -d(fake).mean()


class RelativisticR1R2:
    """The objective of R3GAN; a bias of the output would cancel in every pair."""
    name, batch = "relativistic_r1_r2", 4

    def networks(self):
        d = nn.Sequential(
            nn.Conv2d(3, 6, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(6, 8, 4, 2, 1),
            nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(8 * 4, 1, bias=False))
        return generator(), d

    def discriminator(self, d, real, fake, step):
        loss = F.softplus(-(d(real) - d(fake))).mean()
        return (loss + 0.5 * squared_norm(d, points(real)).mean()
                + 0.25 * squared_norm(d, points(fake)).mean())

    def generator(self, d, real, fake):
        return F.softplus(-(d(fake) - d(real))).mean()


class SpectralHinge:
    """Miyato et al.: every forward in training takes one step of power iteration."""
    name, batch = "spectral_hinge", 4

    def networks(self):
        d = nn.Sequential(
            spectral_norm(nn.Conv2d(3, 6, 3, 1, 1)), nn.LeakyReLU(0.1),
            Residual(nn.Sequential(nn.ReLU(), spectral_norm(nn.Conv2d(6, 7, 4, 2, 1))),
                     nn.Sequential(spectral_norm(nn.Conv2d(6, 7, 2, 2)))),
            nn.LeakyReLU(0.1), nn.Flatten(), spectral_norm(nn.Linear(7 * 16, 1)))
        return generator(), d

    def discriminator(self, d, real, fake, step):
        return F.relu(1 - d(real)).mean() + F.relu(1 + d(fake)).mean()

    def generator(self, d, real, fake):
        return -d(fake).mean()


class MinibatchDiscrimination(nn.Module):
    """Salimans et al., without the similarity of a sample to itself."""

    def __init__(self, features, kernels, dims):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(kernels * dims, features))
        self.kernels = kernels

    def forward(self, x):
        m = F.linear(x, self.weight).reshape(len(x), self.kernels, -1)
        near = torch.exp(-(m[:, None] - m[None]).abs().sum(3))
        others = 1 - torch.eye(len(x))
        return torch.cat([x, (near * others[:, :, None]).sum(1)], 1)


class Coupled:
    """WGAN-GP and R1 on a critic whose layers see the whole batch. R1 sits on the forward of the
    loss, so that running statistics move three times: real, fake, interpolates."""
    name, batch = "coupled", 4

    def networks(self):
        d = nn.Sequential(
            nn.Conv2d(3, 6, 4, 2, 1, bias=False), nn.BatchNorm2d(6), nn.LeakyReLU(0.2),
            nn.Conv2d(6, 8, 4, 2, 1), nn.Tanh(), nn.Flatten(), nn.Linear(32, 10), nn.LeakyReLU(0.2),
            MinibatchDiscrimination(10, 3, 2), nn.Linear(13, 1))
        return generator(), d

    def discriminator(self, d, real, fake, step):
        on = points(real)
        out = d(on)
        (g,) = torch.autograd.grad(out.sum(), on, create_graph=True)
        loss = d(fake).mean() - out.mean() + 0.5 * g.flatten(1).square().sum(1).mean()
        u = torch.tensor(uniforms(len(real), step, PENALTY_STREAM, PENALTY_PASS * 16 + 1))
        u = u.reshape(-1, 1, 1, 1)
        x = points(u * real + (1 - u) * fake)
        return loss + 10 * (squared_norm(d, x).sqrt() - 1).square().mean()

    def generator(self, d, real, fake):
        return -d(fake).mean()


class Dragan:
    """Kodali et al. with activations that have second derivatives."""
    name, batch = "dragan", 4

    def networks(self):
        d = nn.Sequential(nn.Flatten(), nn.Linear(192, 12), nn.Tanh(), nn.Linear(12, 10),
                          nn.Softplus(), nn.Linear(10, 1))
        return generator(), d

    def discriminator(self, d, real, fake, step):
        n, size = len(real), real[0].numel()
        stream = uniforms(4 * n + n * size, step, PENALTY_STREAM, PENALTY_PASS * 16)
        each = torch.tensor(stream[4 * n:]).reshape(n, 8, 8, 3).permute(0, 3, 1, 2)
        share = torch.tensor(stream[:n]).reshape(-1, 1, 1, 1)
        x = points(real + 0.5 * real.std(unbiased=False) * share * each)
        one, zero = torch.ones(n, 1), torch.zeros(n, 1)
        loss = (F.binary_cross_entropy_with_logits(d(real), one)
                + F.binary_cross_entropy_with_logits(d(fake), zero))
        return loss + 10 * (squared_norm(d, x).sqrt() - 1).square().mean()

    def generator(self, d, real, fake):
        return F.binary_cross_entropy_with_logits(d(fake), torch.ones(len(fake), 1))


class Acgan:
    """Odena et al.: the discriminator also names the class."""
    name, batch, classes = "acgan", 6, 5

    def networks(self):
        g = nn.Sequential(ConcatLabel(5, 4), nn.Linear(12, 2 * 2 * 6), View(6, 2, 2), nn.ReLU(),
                          nn.ConvTranspose2d(6, 5, 4, 2, 1), nn.ReLU(),
                          nn.ConvTranspose2d(5, 3, 4, 2, 1), nn.Tanh())
        d = nn.Sequential(
            nn.Conv2d(3, 6, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(6, 8, 4, 2, 1),
            nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(8 * 4, 6))
        return g, d

    def terms(self, d, x, target):
        out = d(x)
        return (F.binary_cross_entropy_with_logits(out[:, :1], torch.full((len(x), 1), target))
                + F.cross_entropy(out[:, 1:], Labelled.labels))

    def discriminator(self, d, real, fake, step):
        Labelled.labels = self.real_labels
        on_real = self.terms(d, real, 1.0)
        Labelled.labels = self.fake_labels
        return on_real + self.terms(d, fake, 0.0)

    def generator(self, d, real, fake):
        return self.terms(d, fake, 1.0)


class Projection:
    """Miyato and Koyama: projection discriminator, class-conditional batch norm. Biases whose
    gradient is 0 but for rounding are left out."""
    name, batch, classes = "projection", 6, 5

    def networks(self):
        g = nn.Sequential(nn.Linear(8, 2 * 2 * 6, bias=False), View(6, 2, 2),
                          ConditionalBatchNorm(6, 5), nn.ReLU(),
                          nn.ConvTranspose2d(6, 5, 4, 2, 1, bias=False),
                          ConditionalBatchNorm(5, 5), nn.ReLU(),
                          nn.ConvTranspose2d(5, 3, 4, 2, 1), nn.Tanh())
        d = nn.Sequential(
            nn.Conv2d(3, 6, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(6, 8, 4, 2, 1),
            nn.LeakyReLU(0.2), Residual(nn.Sequential(FlatLinear(32, 1, bias=False)),
                                        nn.Sequential(LabelProduct(32, 5))))
        return g, d

    def discriminator(self, d, real, fake, step):
        Labelled.labels = self.real_labels
        on_real = F.relu(1 - d(real)).mean() + 0.5 * squared_norm(d, points(real)).mean()
        Labelled.labels = self.fake_labels
        return on_real + F.relu(1 + d(fake)).mean()

    def generator(self, d, real, fake):
        return -d(fake).mean()


def generator():
    return nn.Sequential(nn.Linear(8, 2 * 2 * 6), View(6, 2, 2), nn.ReLU(),
                         nn.ConvTranspose2d(6, 5, 4, 2, 1), nn.ReLU(),
                         nn.ConvTranspose2d(5, 3, 4, 2, 1), nn.Tanh())


def initialise(net):
    for p in net.parameters():
        nn.init.normal_(p, 0.0, 0.2 if p.dim() > 1 else 0.05)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d) and m.affine:
            nn.init.normal_(m.weight, 1.0, 0.1)


def train(case):
    torch.manual_seed(1)
    g, d = case.networks()
    initialise(g), initialise(d)
    real = torch.tanh(torch.randn(POOL, case.batch, 3, 8, 8))
    out = {"real": real.permute(0, 1, 3, 4, 2), **tensors("initial.G", g),
           **tensors("initial.D", d)}
    conditional = hasattr(case, "classes")
    if conditional:
        pool = torch.randint(case.classes, (POOL, case.batch))
        out["labels"] = pool.float()
    adam = [torch.optim.Adam(n.parameters(), lr=2e-4, betas=(0.5, 0.999)) for n in (g, d)]
    losses = []
    for step in range(STEPS):
        if conditional:
            case.real_labels = pool[step % POOL]
            case.fake_labels = Labelled.labels = below(case.classes, case.batch, step)
        x, fake = real[step % POOL], g(normals(step, case.batch, 8))
        adam[1].zero_grad()
        on_d = case.discriminator(d, x, fake.detach(), step)
        on_d.backward()
        if step == 0:
            out.update(tensors("gradient.D", d, lambda t: t.grad))
        adam[1].step()
        adam[0].zero_grad()
        on_g = case.generator(d, x, fake)
        on_g.backward()
        if step == 0:
            out.update(tensors("gradient.G", g, lambda t: t.grad))
        adam[0].step()
        losses.append([on_d.item(), on_g.item()])
        if step + 1 in (1, STEPS):
            out.update(tensors(f"step{step + 1}.G", g))
            out.update(tensors(f"step{step + 1}.D", d))
    out["losses"] = torch.tensor(losses)
    return out


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    for case in (WganGp(), RelativisticR1R2(), SpectralHinge(), Coupled(), Dragan(), Acgan(),
                 Projection()):
        write(os.path.join(folder, f"objective_{case.name}.safetensors"), train(case))

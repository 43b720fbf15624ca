#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""The training step of `gantry-bench step` in PyTorch on the CPU: one JSON line with the same keys.

usage: torch_gan_step.py --model dcgan32 [--batch 64] [--threads 1] [--seconds 5] [--installed]
                         [--critic-only]

By default PyTorch runs in the best set-up found for it: huge pages for malloc, D frozen in G's step
(so that its weight gradients are not computed), gradients dropped rather than filled with zeros,
and, with Debian's packages, the OpenMP build of OpenBLAS where it is installed (package
libopenblas0-openmp; the other build fights libgomp for the cores at two threads). --installed runs
it as it comes; --channels-last takes that order of memory, which is slower for most.

"gflop_per_step" counts products as gantry-bench does, so that equal numbers show equal work.
"""
import argparse
import json
import os
import statistics
import sys
import time

OPENBLAS = "/usr/lib/x86_64-linux-gnu/openblas-openmp"
MODELS = ("mlp28", "cnn28", "dcgan28", "dcgan32", "dcgan64", "critic32", "wgan_gp32", "sngan32")
MODERN = ("critic32", "wgan_gp32", "sngan32")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=MODELS, default="dcgan32")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--installed", action="store_true")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--critic-only", action="store_true")
    return parser.parse_args()


def prepare_process(a):
    """Settings that a process must start with: starts it again if they are missing."""
    wanted = {name: str(a.threads) for name in
              ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    if not a.installed:
        wanted["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
        if os.path.exists(OPENBLAS + "/libblas.so.3") and sys.executable.startswith("/usr/bin"):
            wanted["LD_LIBRARY_PATH"] = OPENBLAS
        else:
            wanted["OPENBLAS_NUM_THREADS"] = "1"
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.environ.update(wanted)
        os.execv(sys.executable, [sys.executable, *sys.argv])


def networks(nn, model):
    """-> G from [n, 100], D, the extents of an image."""
    class View(nn.Module):
        def __init__(self, *extents):
            super().__init__()
            self.extents = extents

        def forward(self, x):
            return x.reshape(x.shape[0], *self.extents)

    def up(i, o, stride=2, pad=1):
        return nn.ConvTranspose2d(i, o, 4, stride, pad, bias=False)

    def down(i, o, stride=2, pad=1):
        return nn.Conv2d(i, o, 4, stride, pad, bias=False)

    def leaky():
        return nn.LeakyReLU(0.2, inplace=True)

    if model == "mlp28":
        g = nn.Sequential(nn.Linear(100, 512), leaky(), nn.Linear(512, 512), leaky(),
                          nn.Linear(512, 784), nn.Tanh())
        d = nn.Sequential(nn.Linear(784, 512), leaky(), nn.Linear(512, 512), leaky(),
                          nn.Linear(512, 1))
        return g, d, (784,)
    if model == "dcgan28":
        g = nn.Sequential(nn.Linear(100, 6272, bias=False), View(128, 7, 7), nn.BatchNorm2d(128),
                          nn.ReLU(True), up(128, 64), nn.BatchNorm2d(64), nn.ReLU(True), up(64, 1),
                          nn.Tanh())
        d = nn.Sequential(down(1, 64), leaky(), down(64, 128), nn.BatchNorm2d(128), leaky(),
                          nn.Flatten(), nn.Linear(6272, 1))
        return g, d, (1, 28, 28)
    if model == "cnn28":
        return cnn28(nn, View, leaky)
    widths = (512, 256, 128, 64) if model == "dcgan64" else (256, 128, 64)
    g = [View(100, 1, 1), up(100, widths[0], 1, 0), nn.BatchNorm2d(widths[0]), nn.ReLU(True)]
    for i, o in zip(widths, widths[1:]):
        g += [up(i, o), nn.BatchNorm2d(o), nn.ReLU(True)]
    g += [up(widths[-1], 3), nn.Tanh()]
    d = [down(3, widths[-1]), leaky()]
    for o, i in zip(widths[-2::-1], widths[::-1]):
        d += [down(i, o)] + ([] if model == "critic32" else [nn.BatchNorm2d(o)]) + [leaky()]
    d += [down(widths[0], 1, 1, 0), nn.Flatten()]
    side = int(model[-2:])
    return nn.Sequential(*g), nn.Sequential(*d), (3, side, side)


def cnn28(nn, View, leaky):
    """MD-GAN's convolutional networks with mini-batch discrimination."""
    import torch

    class MinibatchDiscrimination(nn.Module):
        """50 kernels of 5 numbers (Salimans et al., arXiv 1606.03498, section 3.2)."""
        def __init__(self, features):
            super().__init__()
            self.projection = nn.Linear(features, 250, bias=False)

        def forward(self, x):
            m = self.projection(x).reshape(-1, 50, 5)
            close = torch.exp(-(m.unsqueeze(0) - m.unsqueeze(1)).abs().sum(3))
            return torch.cat((x, close.sum(1) - 1), 1)

    def up(i, o, bias):
        return nn.ConvTranspose2d(i, o, 5, 2, 2, 1, bias=bias)

    g = nn.Sequential(nn.Linear(100, 6272, bias=False), View(128, 7, 7), nn.BatchNorm2d(128),
                      nn.ReLU(True), up(128, 32, False), nn.BatchNorm2d(32), nn.ReLU(True),
                      up(32, 1, True), nn.Tanh())
    d, before = [], 1
    for width, stride in ((16, 2), (32, 1), (64, 2), (128, 1), (256, 2), (512, 1)):
        d += [nn.Conv2d(before, width, 3, stride, 1), leaky(), nn.Dropout()]
        before = width
    d += [nn.Flatten(), MinibatchDiscrimination(8192), nn.Linear(8242, 1)]
    return g, nn.Sequential(*d), (1, 28, 28)


def residual_networks(torch, model):
    """gan_cifar_resnet.py of WGAN-GP, and SNGAN's networks of table 4: -> G from [n, 128], D."""
    nn, functional = torch.nn, torch.nn.functional
    width, wrap = (128, lambda m: m) if model == "wgan_gp32" else (256, nn.utils.spectral_norm)

    def conv(i, o, k=3):
        return nn.Conv2d(i, o, k, 1, k // 2)

    class Up(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.n1, self.n2 = nn.BatchNorm2d(c), nn.BatchNorm2d(c)
            self.c1, self.c2, self.short = conv(c, c), conv(c, c), conv(c, c, 1)
            self.c1.folded = True

        def forward(self, x):
            h = functional.interpolate(functional.relu(self.n1(x)), scale_factor=2)
            h = self.c2(functional.relu(self.n2(self.c1(h))))
            return h + functional.interpolate(self.short(x), scale_factor=2)

    class Block(nn.Module):
        def __init__(self, i, o, pool, first=False):
            super().__init__()
            self.c1, self.c2 = wrap(conv(i, o)), wrap(conv(o, o))
            self.c2.folded = pool
            self.short = wrap(conv(i, o, 1)) if pool else None
            self.pool, self.first = pool, first

        def forward(self, x):
            h = self.c2(functional.relu(self.c1(x if self.first else functional.relu(x))))
            if not self.pool:
                return h + x
            return functional.avg_pool2d(h, 2) + self.short(functional.avg_pool2d(x, 2))

    class Start(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(128, 16 * width)

        def forward(self, z):
            return self.linear(z).reshape(-1, width, 4, 4)

    class Pool(nn.Module):
        def forward(self, x):
            x = functional.relu(x)
            return x.mean((2, 3)) if model == "wgan_gp32" else x.sum((2, 3))

    g = nn.Sequential(Start(), Up(width), Up(width), Up(width), nn.BatchNorm2d(width), nn.ReLU(),
                      conv(width, 3), nn.Tanh())
    d = nn.Sequential(Block(3, 128, True, True), Block(128, 128, True), Block(128, 128, False),
                      Block(128, 128, False), Pool(), wrap(nn.Linear(128, 1)))
    return g, d, (3, 32, 32)


def modern_step(torch, a, g, d, real, of_g, of_d):
    """-> a step of WGAN-GP (penalty by create_graph) or of SNGAN (hinge)."""
    relu, n = torch.nn.functional.relu, a.batch
    size = latent_size(a.model)
    kept = g(torch.randn(n, size)).detach()

    def critic_step(fake):
        of_d.zero_grad(set_to_none=not a.installed)
        if a.model == "sngan32":
            (relu(1 - d(real)).mean() + relu(1 + d(fake)).mean()).backward()
        else:
            (d(fake).mean() - d(real).mean()).backward()
            u = torch.rand(n, 1, 1, 1)
            x = (u * real + (1 - u) * fake).requires_grad_(True)
            (grad,) = torch.autograd.grad(d(x).sum(), x, create_graph=True)
            (10 * (grad.flatten(1).norm(2, 1) - 1).square().mean()).backward()
        of_d.step()

    def step():
        if a.critic_only:
            return critic_step(kept)
        fake = g(torch.randn(n, size))
        critic_step(fake.detach())
        of_g.zero_grad(set_to_none=not a.installed)
        d.requires_grad_(a.installed)
        (-d(fake).mean()).backward()
        of_g.step()
        d.requires_grad_(True)

    return step


def latent_size(model):
    return 128 if model in ("wgan_gp32", "sngan32") else 100


def products(torch, net, x):
    """-> multiplications of one sample's forward, and those of the first layer with weights. A
    3 x 3 convolution beside a resampling counts as the 4 x 4 one of half the extents that it is."""
    nn, counts = torch.nn, {}

    def count(module, inputs, output):
        each = inputs[0] if isinstance(module, nn.ConvTranspose2d) else output
        weights = module.weight[0].numel()
        folded = 4 / 9 if getattr(module, "folded", False) else 1
        counts[module] = each[0].numel() * weights * folded

    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(m, kinds)]
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()
    first = next(layer for layer in net if list(layer.parameters()))
    return sum(counts.values()), sum(counts.get(m, 0) for m in first.modules())


def useful_gflop(torch, a, g, d, real):
    """As gantry-bench counts: no weight gradients of D in G's step, no input gradients of first
    layers, no second derivative of what is piecewise linear."""
    of_g, first_g = products(torch, g, torch.randn(2, latent_size(a.model)))
    of_d, first_d = products(torch, d, real[:2])
    step = 2 * (3 * of_d - first_d) + (4 * of_d if a.model in ("critic32", "wgan_gp32") else 0)
    if not a.critic_only:
        step += of_g + 2 * of_d + 2 * of_g - first_g
    return 2e-9 * step * a.batch


def set_up(a):
    return ("installed" if a.installed else "best") + (", channels last" if a.channels_last else "")


def main():
    a = arguments()
    prepare_process(a)
    import torch
    from torch import nn
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    modern = a.model in MODERN
    residual = modern and a.model != "critic32"
    g, d, extents = residual_networks(torch, a.model) if residual else networks(nn, a.model)
    for module in [*g.modules(), *d.modules()]:
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(module.weight, 0.0, 0.02)
    real = torch.tanh(torch.randn(a.batch, *extents))
    gflop = useful_gflop(torch, a, g, d, real)
    if a.channels_last and len(extents) == 3:
        g, d, real = (x.to(memory_format=torch.channels_last) for x in (g, d, real))
    ones, zeros = torch.ones(a.batch, 1), torch.zeros(a.batch, 1)
    of_g = torch.optim.Adam(g.parameters(), lr=2e-4, betas=(0.5, 0.999))
    of_d = torch.optim.Adam(d.parameters(), lr=2e-4, betas=(0.5, 0.999))
    loss = nn.functional.binary_cross_entropy_with_logits

    def step():
        of_d.zero_grad(set_to_none=not a.installed)
        loss(d(real), ones).backward()
        fake = g(torch.randn(a.batch, 100))
        loss(d(fake.detach()), zeros).backward()
        of_d.step()
        of_g.zero_grad(set_to_none=not a.installed)
        d.requires_grad_(a.installed)
        loss(d(fake), ones).backward()
        of_g.step()
        d.requires_grad_(True)

    if modern:
        step = modern_step(torch, a, g, d, real, of_g, of_d)
    for _ in range(a.warmup):
        step()
    seconds, start = [], time.perf_counter()
    while len(seconds) < 5 or time.perf_counter() - start < a.seconds:
        begin = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - begin)
    seconds.sort()
    median = statistics.median(seconds)
    print(json.dumps({
        "impl": "pytorch", "version": torch.__version__, "set_up": set_up(a),
        "blas": torch.__config__.show().split("LAPACK_INFO=")[-1].split(",")[0],
        "model": a.model, "critic_only": a.critic_only, "batch": a.batch,
        "threads": a.threads, "steps": len(seconds),
        "step_ms": 1e3 * median, "step_ms_p10": 1e3 * seconds[len(seconds) // 10],
        "step_ms_p90": 1e3 * seconds[len(seconds) * 9 // 10], "images_per_s": a.batch / median,
        "gflop_per_step": gflop}))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""The passes of `gantry-bench layers` in PyTorch on the CPU: one JSON line each with the same keys.

usage: torch_layers.py --model dcgan32 [--batch 64] [--threads 1] [--repeats 25]

The networks and the set-up of the process are torch_gan_step.py's. Layers with weights are counted
from 0 in each network ("order"), since the programs disagree about reshapes. An input gradient is
taken with frozen weights and a weight gradient with a frozen input, so neither does the other's
work; batch norm's backward computes both at once and is timed as the input gradient.
"""
import argparse
import json
import statistics
import time

import torch_gan_step as peer

# cnn28 and the residual networks have modules that are several layers
MODELS = ("mlp28", "dcgan28", "dcgan32", "dcgan64", "critic32")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=MODELS, default="dcgan32")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=25)
    a = parser.parse_args()
    a.installed = False
    return a


def microseconds(repeats, work):
    for _ in range(3):
        work()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(1e6 * (time.perf_counter() - begin))
    return statistics.median(times)


def layer_passes(torch, repeats, layer, x):
    """-> [(pass, microseconds)] of a layer with weights on the batch x."""
    def gradient_of(*targets):
        for target in targets:
            target.requires_grad_(True)
        y = layer(x)
        dy = torch.randn_like(y)
        us = microseconds(repeats,
                          lambda: torch.autograd.grad(y, targets, dy, retain_graph=True))
        for target in targets:
            target.requires_grad_(False)
        return us

    layer.requires_grad_(False)
    with torch.no_grad():
        passes = [("forward", microseconds(repeats, lambda: layer(x)))]
    if isinstance(layer, torch.nn.BatchNorm2d):
        return passes + [("input gradient", gradient_of(x, *layer.parameters()))]
    return passes + [("input gradient", gradient_of(x)),
                     ("weight gradient", gradient_of(*layer.parameters()))]


def network_passes(torch, repeats, network, x):
    """-> [(order, layer's name, pass, microseconds)]"""
    names = {torch.nn.Linear: "linear", torch.nn.Conv2d: "conv2d",
             torch.nn.ConvTranspose2d: "conv_transpose2d", torch.nn.BatchNorm2d: "batch_norm"}
    found, order = [], 0
    for layer in network:
        if type(layer) in names:
            found += [(order, names[type(layer)], name, us)
                      for name, us in layer_passes(torch, repeats, layer, x)]
            order += 1
        with torch.no_grad():
            x = layer(x.clone()).detach()
    return found


def main():
    a = arguments()
    peer.prepare_process(a)
    import torch
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    g, d, extents = peer.networks(torch.nn, a.model)
    inputs = {"generator": (g, torch.randn(a.batch, peer.latent_size(a.model))),
              "discriminator": (d, torch.tanh(torch.randn(a.batch, *extents)))}
    for name, (network, x) in inputs.items():
        for order, layer, what, us in network_passes(torch, a.repeats, network, x):
            print(json.dumps({"impl": "pytorch", "version": torch.__version__, "model": a.model,
                              "batch": a.batch, "threads": a.threads, "network": name,
                              "order": order, "layer": layer, "pass": what, "us": us}))


if __name__ == "__main__":
    main()

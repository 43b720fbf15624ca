#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Prints the golden values of tests/unit/optim/schedules_test.cpp: torch.optim.Adam whose rate and
betas are set before every step along a cosine. Needs torch; last run with torch 1.13.0."""
import math

import torch

STEPS = 12


def cosine(first, last, step, steps):
    done = min(step / steps, 1.0)
    return first + (last - first) * 0.5 * (1 - math.cos(math.pi * done))


def gradient(t):
    return torch.tensor([math.sin(1.3 * t + i) * 10.0 ** (i - 2) for i in range(4)],
                        dtype=torch.float64)


for beta1 in (0.0, 0.5):
    w = torch.tensor([1.0, -0.5, 0.25, 2.0], dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([w], lr=1.0, betas=(beta1, 0.5), eps=0.0009765625)
    for t in range(1, STEPS + 1):
        group = adam.param_groups[0]
        group["lr"] = cosine(0.25, 0.0625, t - 1, 8)
        group["betas"] = (beta1, cosine(0.5, 0.984375, t - 1, 10))
        w.grad = gradient(t)
        adam.step()
        if t in (1, 2, 6, STEPS):
            print(f"    {{{t}, {{{', '.join(f'{v:.12f}' for v in w.tolist())}}}}},")
    print()

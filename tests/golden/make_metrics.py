#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Writes metrics.safetensors, which metrics_test.cpp reads: features of two samples, class
probabilities, and the figures of every metric, from the formulas as they are usually coded:

    fid         torch-fidelity and pytorch-fid: scipy.linalg.sqrtm of the product of covariances
    kid         torch-fidelity: polynomial_mmd, subsets by numpy.random.RandomState(seed).choice
    precision, recall, density, coverage    the authors' code of "prdc": full distance matrices
    is          torch-fidelity: exp of the mean KL divergence in contiguous splits

Needs numpy and scipy; last run with numpy 2.4.6 and scipy 1.17.1: make_metrics.py [folder].
"""
import json
import pathlib
import struct
import sys

import numpy as np
from scipy import linalg

DIMENSION, REAL, GENERATED, CLASSES, SPLITS = 24, 431, 300, 7, 10
SUBSETS, SUBSET_SIZE, SEED = 12, 90, 2020


def samples(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Features as after a ReLU, of few directions, the second sample shifted and narrower."""
    mix = rng.normal(size=(8, DIMENSION))
    real = rng.normal(size=(REAL, 8)) @ mix + 0.3 * rng.normal(size=(REAL, DIMENSION))
    fake = 0.8 * rng.normal(size=(GENERATED, 8)) @ mix + 0.4 + 0.3 * rng.normal(
        size=(GENERATED, DIMENSION))
    return np.maximum(real, 0).astype(np.float32), np.maximum(fake, 0).astype(np.float32)


def frechet(x: np.ndarray, y: np.ndarray) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))."""
    s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = linalg.sqrtm(s1 @ s2)
    difference = x.mean(0) - y.mean(0)
    return float(difference @ difference + np.trace(s1 + s2) - 2 * np.trace(root).real)


def kernel_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased squared MMD with ((x . y) / d + 1)^3."""
    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1) ** 3
    m, n = len(x), len(y)
    xx, yy, xy = kernel(x, x), kernel(y, y), kernel(x, y)
    within = (xx.sum() - np.trace(xx)) / (m * (m - 1)) + (yy.sum() - np.trace(yy)) / (n * (n - 1))
    return float(within - 2 * xy.mean())


def kid(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Mean and deviation over subsets."""
    rng = np.random.RandomState(SEED)
    values = []
    for _ in range(SUBSETS):
        a = x[rng.choice(len(x), SUBSET_SIZE, replace=False)]
        b = y[rng.choice(len(y), SUBSET_SIZE, replace=False)]
        values.append(kernel_distance(a, b))
    return float(np.mean(values)), float(np.std(values))


def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """All of them."""
    return np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1))


def radii(x: np.ndarray, k: int) -> np.ndarray:
    """To the k-th nearest other."""
    return np.sort(distances(x, x), axis=1)[:, k]


def neighbourhoods(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[float, ...]:
    """Precision, recall, density, coverage, as compute_prdc."""
    across, of_real, of_fake = distances(real, fake), radii(real, k), radii(fake, k)
    precision = (across < of_real[:, None]).any(axis=0).mean()
    recall = (across < of_fake[None]).any(axis=1).mean()
    density = (across < of_real[:, None]).sum(axis=0).mean() / k
    coverage = (across.min(axis=1) < of_real).mean()
    return float(precision), float(recall), float(density), float(coverage)


def inception_score(p: np.ndarray) -> tuple[float, float]:
    """Mean and deviation over splits."""
    scores = []
    for i in range(SPLITS):
        part = p[i * len(p) // SPLITS:(i + 1) * len(p) // SPLITS]
        kl = part * (np.log(part) - np.log(part.mean(axis=0, keepdims=True)))
        scores.append(np.exp(kl.sum(axis=1).mean()))
    return float(np.mean(scores)), float(np.std(scores))


def write(path: pathlib.Path, tensors: dict[str, np.ndarray]) -> None:
    """A safetensors file."""
    names = {np.dtype(np.float32): "F32", np.dtype(np.float64): "F64"}
    header, data = {}, b""
    for name, t in tensors.items():
        header[name] = {"dtype": names[t.dtype], "shape": list(t.shape),
                        "data_offsets": [len(data), len(data) + t.nbytes]}
        data += t.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def main() -> None:
    """Makes the samples and all figures."""
    rng = np.random.default_rng(8)
    real32, fake32 = samples(rng)
    logits = 2 * rng.normal(size=(REAL, CLASSES))
    p32 = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)
    real, fake, p = (x.astype(np.float64) for x in (real32, fake32, p32))
    three, five = neighbourhoods(real, fake, 3), neighbourhoods(real, fake, 5)
    figures = {"fid": [frechet(real, fake)], "kernel_distance": [kernel_distance(real, fake)],
               "kid": kid(real, fake), "precision_recall": three[:2], "density_coverage": five[2:],
               "is": inception_score(p)}
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else __file__).resolve()
    folder = folder if folder.is_dir() else folder.parent
    write(folder / "metrics.safetensors",
          {"real": real32, "generated": fake32, "probabilities": p32}
          | {name: np.array(values) for name, values in figures.items()})
    for name, values in figures.items():
        print(name, *(f"{v:.15g}" for v in values))


if __name__ == "__main__":
    main()

# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Prints the golden values of tests/unit/metrics/frechet_test.cpp.

The features are small integers from a formula, so that the test can make them again. Needs numpy
and scipy; last run with numpy 2.4.6 and scipy 1.17.1.
"""

import numpy as np
from scipy import linalg


def features(n, d, offset):
    """Integers in -11 .. 11, [n][d]."""
    i, j = np.meshgrid(np.arange(n), np.arange(d), indexing="ij")
    value = 31 * i * i + 17 * i * j + 7 * j * j + 3 * i + offset * (j + 1) * (i + 2)
    return (value % 23 - 11).astype(float)


def frechet(x, y):
    """The formula as it is usually coded: covariances with n - 1, sqrtm of the product."""
    s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = linalg.sqrtm(s1 @ s2)
    difference = x.mean(0) - y.mean(0)
    return difference @ difference + np.trace(s1) + np.trace(s2) - 2 * np.trace(root).real


for n1, n2, d in ((50, 70, 8), (200, 150, 16)):
    a, b = features(n1, d, 5), features(n2, d, 9)
    ranks = [np.linalg.matrix_rank(np.cov(x, rowvar=False)) for x in (a, b)]
    print(f"n = {n1}, {n2}, d = {d}, ranks {ranks}: {frechet(a, b):.15g}")

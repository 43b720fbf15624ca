#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Writes resize.npz, what Pillow makes of two images: make_resize.py [folder].

Needs NumPy and a Pillow before 13 (written with 10.4.0): from 13 on, images that shrink a lot more
in height than in width are resized by rows first, with other rounding. Arrays `colour` and `grey`
are the images, `<image>_<filter>_<height>x<width>` the results, `colour_L` the colour image turned
grey.
"""
import sys
from pathlib import Path

import numpy as np
from PIL import Image

FILTERS = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# Smaller, larger, one of each, one extent kept, down to nothing, and by a whole number.
SIZES = ((16, 16), (58, 71), (40, 20), (47, 33), (19, 61), (1, 1), (7, 64))


def picture(height: int, width: int, channels: int) -> np.ndarray:
    """Waves, hard edges that overshoot, and noise."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = []
    for c in range(channels):
        plane = 127 + 90 * np.sin(x / (3 + c)) * np.cos(y / (5 - c)) + rng.normal(0, 20, x.shape)
        plane[height // 3:height // 2, width // 4:width // 2] = 255 * (c % 2)
        planes.append(plane)
    pixels = np.clip(np.rint(np.stack(planes, axis=-1)), 0, 255).astype(np.uint8)
    return pixels if channels == 3 else pixels[..., 0]


def main(folder: Path) -> None:
    arrays: dict[str, np.ndarray] = {}
    for name, pixels in (("colour", picture(47, 61, 3)), ("grey", picture(32, 32, 1))):
        arrays[name] = pixels
        image = Image.fromarray(pixels)
        for filter_name, code in FILTERS.items():
            for height, width in SIZES:
                resized = np.asarray(image.resize((width, height), code))
                arrays[f"{name}_{filter_name}_{height}x{width}"] = resized
    arrays["colour_L"] = np.asarray(Image.fromarray(arrays["colour"]).convert("L"))
    np.savez_compressed(folder / "resize.npz", **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)

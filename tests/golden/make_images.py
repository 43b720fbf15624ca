#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Writes images.zip, image files of many kinds and what Pillow reads in them:
make_images.py [folder].

Needs NumPy and Pillow (written with Pillow 13.0.0). Beside `<file>` stands `<file>.npy`, the pixels
of convert("RGB") or convert("L"), [height][width][channels]; files without are to be refused.
"""
import io
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from make_resize import picture


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
         (1, 0, 2, 1))  # first row, first column, steps


def raw_png(pixels: np.ndarray, bits: int, colour: int, interlaced: bool = False) -> bytes:
    """A PNG of kinds that Pillow does not write; pixels as they stand in the file."""
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (len(body).to_bytes(4, "big") + kind + body +
                zlib.crc32(kind + body).to_bytes(4, "big"))
    header = (pixels.shape[1].to_bytes(4, "big") + pixels.shape[0].to_bytes(4, "big") +
              bytes([bits, colour, 0, 0, int(interlaced)]))
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    data = b"".join(b"\0" + np.ascontiguousarray(row).tobytes()
                    for y, x, dy, dx in passes for row in pixels[y::dy, x::dx])
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) +
            chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b""))


def files() -> dict[str, tuple[bytes, np.ndarray | None]]:
    """Contents and expected pixels by name."""
    colour = Image.fromarray(picture(20, 27, 3))
    grey = Image.fromarray(picture(20, 27, 1))
    alpha = colour.convert("RGBA")
    alpha.putalpha(grey)
    palette = colour.quantize(13)
    deep = (np.asarray(picture(20, 27, 1)).astype(np.uint16) * 256 + 77)
    deep8 = ((deep.astype(np.uint32) * 255 + 32895) >> 16).astype(np.uint8)  # libpng's rounding
    made: dict[str, tuple[bytes, np.ndarray | None]] = {}

    def add(name: str, content: bytes, mode: str) -> None:
        pixels = np.asarray(Image.open(io.BytesIO(content)).convert(mode))
        made[name] = (content, pixels.reshape(20, 27, -1))

    add("colour.png", encoded(colour, "PNG"), "RGB")
    add("grey.png", encoded(grey, "PNG"), "L")
    add("alpha.png", encoded(alpha, "PNG"), "RGB")
    add("grey_alpha.png", encoded(alpha.convert("LA"), "PNG"), "L")
    add("palette.png", encoded(palette, "PNG"), "RGB")
    add("palette_clear.png", encoded(palette, "PNG", transparency=3), "RGB")
    add("one_bit.png", encoded(grey.convert("1"), "PNG"), "L")
    made["deep.png"] = (raw_png(deep.astype(">u2"), 16, 0), deep8.reshape(20, 27, 1))
    add("interlaced.png", raw_png(np.asarray(colour), 8, 2, interlaced=True), "RGB")
    add("colour.jpg", encoded(colour, "JPEG", quality=90), "RGB")
    add("full.jpeg", encoded(colour, "JPEG", quality=90, subsampling=0), "RGB")
    add("grey.JPG", encoded(grey, "JPEG", quality=80), "L")
    add("progressive.jpg", encoded(colour, "JPEG", progressive=True, optimize=True), "RGB")
    made["cmyk.jpg"] = (encoded(colour.convert("CMYK"), "JPEG"), None)
    return made


def main(folder: Path) -> None:
    with zipfile.ZipFile(folder / "images.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (content, pixels) in files().items():
            def write(entry: str, data: bytes, method: int) -> None:
                info = zipfile.ZipInfo(entry)  # of 1980: the same file each time
                info.compress_type = method
                archive.writestr(info, data)
            write(name, content, zipfile.ZIP_STORED)
            if pixels is not None:
                file = io.BytesIO()
                np.save(file, pixels)
                write(name + ".npy", file.getvalue(), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)

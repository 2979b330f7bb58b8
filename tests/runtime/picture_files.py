"""Writes pictures in many formats and depths, with and without Pillow, and says what should be read from them."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image


def saved(image: Image.Image, kind: str = "PNG", orientation: int = 1, **options: Any) -> bytes:
    """The bytes of a picture, with an EXIF orientation unless it is 1."""
    data = io.BytesIO()
    if orientation != 1 and kind == "TIFF":
        options["tiffinfo"] = {274: orientation}
    elif orientation != 1:
        exif = Image.Exif()
        exif[274] = orientation
        options["exif"] = exif
    image.save(data, kind, **options)
    return data.getvalue()


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """[H, W, 3] as the EXIF standard shows it: which side of the picture its first row and first column are."""
    return {
        1: pixels,
        2: pixels[:, ::-1],  # first row at the top, first column at the right
        3: pixels[::-1, ::-1],  # bottom, right
        4: pixels[::-1],  # bottom, left
        5: pixels.swapaxes(0, 1),  # left, top
        6: pixels[::-1].swapaxes(0, 1),  # right, top
        7: pixels[::-1, ::-1].swapaxes(0, 1),  # right, bottom
        8: pixels[:, ::-1].swapaxes(0, 1),  # left, bottom
    }[orientation]


def on_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """[H, W, 3] under alpha [H, W] of 0 to 255, laid on white and rounded."""
    share = alpha[..., None].astype(np.float64) / 255
    return np.floor(share * pixels + (1 - share) * 255 + 0.5).astype(np.uint8)


def grey(values: np.ndarray) -> np.ndarray:
    """[H, W] as three equal channels of 8 bits."""
    return np.repeat(values.astype(np.uint8)[..., None], 3, axis=2)


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2, data: bytes | None = None) -> bytes:
    """A PNG file of these sizes, by default RGB and black, with more chunks before its pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    pixels = zlib.compress(bytes(height * (1 + 3 * width)) if data is None else data)
    parts = (chunk(b"IHDR", header), *chunks, chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(width: int, height: int, strip: bytes, bits: int, photometric: int = 1, sample_format: int = 1) -> bytes:
    """An uncompressed grey TIFF file, little-endian, in one strip. ``photometric`` 0: white is zero."""
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 277: 1, 278: height, 279: len(strip)}
    tags |= {339: sample_format, 273: 8}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + directory

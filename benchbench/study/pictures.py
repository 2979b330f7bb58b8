"""The pictures of a study: copies of the store's images under names that say nothing, and destroyed copies.

A file is named by the hash of its bytes, and holds pixels only: no prompt, seed or model.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from benchbench.noise import hash64
from benchbench.runtime.files import write_atomic
from benchbench.runtime.hashing import bytes_sha256

FOLDER = "pictures"
BLOCKS = 8  # a picture is destroyed in so many columns and rows


def add_picture(folder: Path, image: Image.Image) -> str:
    """Writes an RGB picture into the study's folder and returns its file name. Raises RunError (a full disk)."""
    data = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(data, "WEBP", lossless=True, method=0, quality=20)
    name = f"{bytes_sha256([data.getvalue()])[:24]}.webp"
    write_atomic(folder / FOLDER / name, data.getvalue())
    return name


def destroyed(image: Image.Image, seed: int) -> Image.Image:
    """Returns the picture in blocks that change places, with noise on them: nobody prefers it to the picture.

    At most a few pixels at the right and the bottom stay in place where the size is not a multiple of the blocks.
    """
    pixels = np.asarray(image).copy()
    draw = np.random.default_rng(hash64(seed, "destroyed"))
    height, width = pixels.shape[0] // BLOCKS, pixels.shape[1] // BLOCKS
    places = [(y * height, x * width) for y in range(BLOCKS) for x in range(BLOCKS)]
    blocks = [pixels[y : y + height, x : x + width].copy() for y, x in places]
    for (y, x), number in zip(places, draw.permutation(len(blocks)), strict=True):
        pixels[y : y + height, x : x + width] = blocks[number]
    noise = draw.integers(0, 256, pixels.shape)
    return Image.fromarray(((pixels.astype(int) + noise) // 2).astype(np.uint8))

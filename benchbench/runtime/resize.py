"""Resizes images as Pillow 13 does, with every version of Pillow.

Pillow resizes in two passes and rounds to 8 bits after each, so that their order decides the last bit. Up to version 12
the width always came first; from version 13 on the height does where an image over twice as high as wide shrinks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image


def height_first(width: int, height: int, new_height: int) -> bool:
    """Returns whether the height is resized before the width."""
    return height > 2 * width and new_height < height


def resize(image: Image.Image, size: tuple[int, int], filter: Image.Resampling | None = None) -> Image.Image:
    """Returns the image in a new size (width, height), by the bicubic filter if none is named."""
    (width, height), (new_width, new_height) = image.size, size
    if height <= 2 * width or image.mode not in ("RGB", "L"):  # one order in all versions, or premultiplied by alpha
        return image.resize(size, filter)
    between = (width, new_height) if height_first(width, height, new_height) else (new_width, height)
    return image.resize(between, filter).resize(size, filter)

"""Source pictures in the size of a model. Imports no torch."""

from __future__ import annotations

from PIL import Image

from benchbench.prompt_set import Source
from benchbench.runtime.pictures import read_picture
from benchbench.runtime.resize import resize


def open_source(source: Source, size: int) -> Image.Image:
    """Returns a source picture as RGB in the model's size: cropped to a square at its centre, then resized (Lanczos).

    ``size`` is the side in pixels; a square picture of this size stays as it is. Errors: CorruptError.
    """
    image = read_picture(source.read(), source.name).image
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    return image if side == size else resize(image, (size, size), Image.Resampling.LANCZOS)

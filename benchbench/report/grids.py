"""Image grids: the same prompts, sample numbers and seeds for every model, so that only the model differs."""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from PIL import Image, ImageDraw, ImageFont

from benchbench.noise import Sample
from benchbench.report.sections import Grid, GridRow

SMALL = 64  # pixels: up to here an image is kept as it is, and shown with its pixels visible
SIDE = 256  # pixels: what larger images are reduced to on a page
PROMPTS = 6
ROWS = 16  # of a grid: with six prompts each, a page of large images stays below 3 MB
MARGIN, LABEL, CELL, LINE = 8, 110, 128, 14  # pixels of a contact sheet


class ImageRow(Protocol):
    """The images of one row, as an evaluation has them: ``entries`` in order, and ``images.read`` for each of them."""

    @property
    def label(self) -> str:
        """The name of the row."""

    @property
    def seed(self) -> int:
        """The evaluation seed of the images."""

    @property
    def entries(self) -> Mapping[Sample, object]:
        """The images' identities, by prompt and sample number."""

    @property
    def images(self) -> Any:
        """An object whose ``read`` returns the image of an entry."""


def grid(generations: Sequence[ImageRow], title: str = "Samples", caption: str = "") -> Grid:
    """A row a generation, all with the same evaluation seed: sample 0 of up to six prompts spread over the set.

    What is left out is counted in the caption, so that a page stays small whatever was evaluated.
    """
    first = [item for item in generations[0].entries if item.number == 0]
    count = min(PROMPTS, len(first))
    chosen = [first[i * len(first) // count] for i in range(count)]
    rows = [
        GridRow(label=generation.label, images=tuple(data_uri(generation.images.read(item)) for item in chosen))
        for generation in generations[:ROWS]
    ]
    seed = generations[0].seed
    every = sum(len(generation.entries) for generation in generations)
    caption = caption or (
        f"The same prompts and noise (seed {seed}, sample 0) in every row: {count} prompts spread over the set, not "
        f"selected. {every - count * len(rows):,} more images lie in the store."
        + (f" {len(generations) - ROWS} rows are left out." if len(generations) > ROWS else "")
    )
    return Grid(title=title, caption=caption, prompts=tuple(item.prompt for item in chosen), rows=tuple(rows))


def data_uri(image: Image.Image) -> str:
    """An RGB image as a WebP data URI: small ones lossless, large ones reduced."""
    data = io.BytesIO()
    if max(image.size) <= SMALL:
        image.save(data, "WEBP", lossless=True)
    else:
        image = image.copy()
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        image.save(data, "WEBP", quality=88)
    return "data:image/webp;base64," + base64.b64encode(data.getvalue()).decode()


def read_uri(uri: str) -> Image.Image:
    """The image of a data URI."""
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def small(uri: str) -> bool:
    """Whether an image is so small that its pixels are shown as squares."""
    return max(read_uri(uri).size) <= SMALL


def sheet(shown: Grid) -> Image.Image:
    """The grid as one picture, for a paper or a README; pixels of small images stay sharp squares."""
    font = ImageFont.load_default(11)
    captions = [textwrap.wrap(prompt, CELL // 6) for prompt in shown.prompts]
    top = MARGIN + LINE * max(map(len, captions))
    width = LABEL + len(captions) * (CELL + MARGIN)
    picture = Image.new("RGB", (width, top + len(shown.rows) * (CELL + MARGIN)), "white")
    draw = ImageDraw.Draw(picture)
    for column, lines in enumerate(captions):
        for i, line in enumerate(lines):
            draw.text((LABEL + column * (CELL + MARGIN), MARGIN // 2 + i * LINE), line, "#444", font)
    for row, images in enumerate(shown.rows):
        y = top + row * (CELL + MARGIN)
        label = "\n".join(textwrap.wrap(images.label, LABEL // 6))
        draw.text((MARGIN, y + CELL // 2), label, "black", font, anchor="lm")
        for column, uri in enumerate(images.images):
            image = read_uri(uri)
            how = Image.Resampling.NEAREST if max(image.size) <= SMALL else Image.Resampling.LANCZOS
            picture.paste(image.resize((CELL, CELL), how), (LABEL + column * (CELL + MARGIN), y))
    return picture

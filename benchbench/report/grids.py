"""Image grids: every model with the same prompts, sample numbers and seeds, so that only the model differs."""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from PIL import Image, ImageDraw, ImageFont

from benchbench.noise import Sample
from benchbench.report.sections import GridRow, GridSection

SMALL = 64  # pixels; images up to this size are kept as they are and shown with sharp pixels
SIDE = 256  # pixels; larger images are reduced to this size on a page
PROMPTS = 6
ROWS = 16  # at most in a grid: with six prompts each, pictures of noise make a page of 4 MB, others of less
MARGIN, LABEL, CELL, LINE = 8, 110, 128, 14  # pixels of a contact sheet


class EvaluatedRow(Protocol):
    """The generated images of one row of an evaluation. ``images.read`` returns the image of each of ``entries``."""

    @property
    def label(self) -> str:
        """Label of the row."""

    @property
    def seed(self) -> int:
        """Evaluation seed of the images."""

    @property
    def entries(self) -> Mapping[Sample, object]:
        """The stored images by prompt and sample number, in order."""

    @property
    def images(self) -> Any:
        """An object whose ``read`` returns the image of a sample."""


def sample_grid(
    evaluated: Sequence[EvaluatedRow],
    title: str = "Samples",
    caption: str = "",
    source: Callable[[Sample], Image.Image] | None = None,
) -> GridSection:
    """Returns a grid with one row per evaluated row, which must share an evaluation seed.

    Above them is a row of the pictures that were edited, where ``source`` returns that of a sample. The grid shows
    sample 0 of up to six prompts, evenly spread over the prompt set, in up to 16 rows, so that a page stays small. The
    caption counts what is left out.
    """
    first_samples = [sample for sample in evaluated[0].entries if sample.number == 0]
    count = min(PROMPTS, len(first_samples))
    shown = [first_samples[i * len(first_samples) // count] for i in range(count)]
    rows = [GridRow(label="source", images=tuple(data_uri(source(sample)) for sample in shown))] if source else []
    rows += [
        GridRow(label=row.label, images=tuple(data_uri(row.images.read(sample)) for sample in shown))
        for row in evaluated[:ROWS]
    ]
    total = sum(len(row.entries) for row in evaluated)
    caption = caption or (
        f"Every row has the same prompts and noise (seed {evaluated[0].seed}, sample 0). The {count} prompts are "
        f"evenly spread over the set, not selected. The store has {total - count * len(rows):,} more images."
        + (f" {len(evaluated) - ROWS} rows are left out." if len(evaluated) > ROWS else "")
    )
    return GridSection(title=title, caption=caption, prompts=tuple(sample.prompt for sample in shown), rows=tuple(rows))


def data_uri(image: Image.Image) -> str:
    """Returns an RGB image as a WebP data URI; small images are lossless, large ones are reduced."""
    data = io.BytesIO()
    if max(image.size) <= SMALL:
        image.save(data, "WEBP", lossless=True)
    else:
        image = image.copy()
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        image.save(data, "WEBP", quality=80)
    return "data:image/webp;base64," + base64.b64encode(data.getvalue()).decode()


def decode_uri(uri: str) -> Image.Image:
    """Returns the image in a data URI."""
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def is_small(uri: str) -> bool:
    """Returns True for an image that is shown with sharp pixels."""
    return max(decode_uri(uri).size) <= SMALL


def contact_sheet(grid: GridSection) -> Image.Image:
    """Returns the grid as one picture, for a paper or a README. Pixels of small images stay sharp."""
    font = ImageFont.load_default(11)
    captions = [textwrap.wrap(prompt, CELL // 6) for prompt in grid.prompts]
    top = MARGIN + LINE * max(map(len, captions))
    width = LABEL + len(captions) * (CELL + MARGIN)
    picture = Image.new("RGB", (width, top + len(grid.rows) * (CELL + MARGIN)), "white")
    draw = ImageDraw.Draw(picture)
    for column, lines in enumerate(captions):
        for i, line in enumerate(lines):
            draw.text((LABEL + column * (CELL + MARGIN), MARGIN // 2 + i * LINE), line, "#444", font)
    for i, row in enumerate(grid.rows):
        y = top + i * (CELL + MARGIN)
        label = "\n".join(textwrap.wrap(row.label, LABEL // 6))
        draw.text((MARGIN, y + CELL // 2), label, "black", font, anchor="lm")
        for column, uri in enumerate(row.images):
            image = decode_uri(uri)
            resampling = Image.Resampling.NEAREST if max(image.size) <= SMALL else Image.Resampling.LANCZOS
            picture.paste(image.resize((CELL, CELL), resampling), (LABEL + column * (CELL + MARGIN), y))
    return picture

"""Draws rows of pictures as a figure for a paper, PNG, PDF or SVG: headings above, labels at the left, notes below."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from PIL.Image import Image

from benchbench.report.grids import SMALL

INCHES = 1.0  # side of a picture
LETTER, LETTERS = 0.058, 18  # inches of a label's letter, and letters of its line
FONT = 7  # points
LINE = 0.13  # inches of a line of text
DOTS = 300  # a PNG's pixels an inch
WIDTH = 17  # letters of a heading's line
STYLE: dict[Any, Any] = {
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "benchbench",
    "text.parse_math": False,
    "font.size": FONT,
}


@dataclass(frozen=True)
class PictureRow:
    """The pictures of one row, in full size, and a note for each (or none)."""

    label: str
    pictures: tuple[Image, ...]
    notes: tuple[str, ...] = ()


def draw(headings: Sequence[str], rows: Sequence[PictureRow], kind: Literal["png", "pdf", "svg"]) -> bytes:
    """Returns the figure as a file. Pictures of up to 64 pixels stay sharp; larger ones are embedded as they are."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    wrapped = [
        "\n".join(line for part in text.splitlines() for line in textwrap.wrap(part, WIDTH)) for text in headings
    ]
    top = LINE * (1 + max(text.count("\n") + 1 for text in wrapped))
    bottom = LINE * (1 + max((note.count("\n") + 1 for row in rows for note in row.notes), default=0))
    step = INCHES + bottom
    labels = ["\n".join(textwrap.wrap(row.label, LETTERS)) for row in rows]
    margin = 0.15 + LETTER * max(len(line) for label in labels for line in label.splitlines())
    width, height = margin + INCHES * 1.05 * len(headings), top + step * len(rows)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        for i, row in enumerate(rows):
            low = height - top - step * i - INCHES
            figure.text((margin - 0.08) / width, (low + INCHES / 2) / height, labels[i], ha="right", va="center")
            for column, picture in enumerate(row.pictures):
                left = margin + INCHES * 1.05 * column
                axes = figure.add_axes((left / width, low / height, INCHES / width, INCHES / height))
                axes.imshow(picture, interpolation="none" if max(picture.size) > SMALL else "nearest")
                axes.set_axis_off()
                middle = (left + INCHES / 2) / width
                if i == 0:
                    figure.text(middle, (low + INCHES + LINE / 2) / height, wrapped[column], ha="center", va="bottom")
                if row.notes:
                    figure.text(middle, (low - LINE / 3) / height, row.notes[column], ha="center", va="top")
        data = io.BytesIO()
        metadata = {{"png": "Software", "pdf": "CreationDate", "svg": "Date"}[kind]: None}
        figure.savefig(data, format=kind, dpi=DOTS, metadata=metadata)
    return data.getvalue()

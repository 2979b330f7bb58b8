"""A table of means with intervals, as CSV (every number in full), Markdown and JSON."""

from __future__ import annotations

import csv
import io
import re

from pydantic import BaseModel, ConfigDict

from benchbench.stats.intervals import Interval
from benchbench.stats.paired import Difference


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Cell(_Model):
    """A mean with its interval, its paired difference to the base row, and the published value beside it.

    ``gain`` is the difference in standard deviations of the base over its images. None: not known.
    """

    value: float
    low: float | None = None
    high: float | None = None
    images: int = 0
    prompts: int = 0
    seeds: int = 1
    published: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None


def cell(mean: Interval, against: Difference | None = None, published: float | None = None) -> Cell:
    """The cell of a mean and, except in the base row, its difference to the base."""
    numbers: dict[str, float | None] = {"value": mean.value, "low": mean.low, "high": mean.high}
    if against is not None:
        for name, found in (("difference", against.raw), ("gain", against.gain)):
            if found is not None:
                numbers |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    counts = {"images": mean.images, "prompts": mean.prompts, "seeds": mean.seeds}
    return Cell.model_validate({**numbers, **counts, "published": published})


class Column(_Model):
    """A column's name, unit and version; ``held_out`` marks a reward that no row was trained on."""

    key: str
    unit: str = ""
    version: str = ""
    held_out: bool = False


class Table(_Model):
    """Cells by row and column; a cell that was not measured is absent. ``quick`` marks a run too small to quote.

    ``ranked``: the row with the highest mean of a column is its best.
    """

    name: str
    title: str
    caption: str
    rows: tuple[str, ...]
    columns: tuple[Column, ...]
    cells: dict[str, dict[str, Cell]]
    protocol: str = ""
    quick: bool = False
    ranked: bool = True

    def get(self, row: str, column: str) -> Cell | None:
        """The cell, where it was measured."""
        return self.cells.get(row, {}).get(column)

    def best(self, column: str) -> str | None:
        """The row with the highest mean, where that is the best and there are rows to compare."""
        values = {row: found.value for row in self.rows if (found := self.get(row, column))}
        return max(values, key=values.__getitem__) if self.ranked and len(values) > 1 else None

    @property
    def full_caption(self) -> str:
        """The caption, which says QUICK where the table is."""
        return f"QUICK, not a result: {self.caption}" if self.quick else self.caption

    @property
    def stem(self) -> str:
        """The name of its files, without an ending."""
        stem = re.sub(r"[^\w.-]+", "-", self.name, flags=re.ASCII)
        return f"{stem}-QUICK" if self.quick else stem

    def csv(self) -> str:
        """A line a cell, at full precision; an unknown number is empty."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["row", "column", "version", "unit", *Cell.model_fields, "protocol", "quick"])
        for row in self.rows:
            for column in self.columns:
                if found := self.get(row, column.key):
                    numbers = ["" if v is None else v for v in found.model_dump().values()]
                    labels = [row, column.key, column.version, column.unit]
                    writer.writerow([*labels, *numbers, self.protocol, str(self.quick).lower()])
        return out.getvalue()

    def markdown(self) -> str:
        """A GitHub table with the caption above: the mean, its interval, the gain, the published value."""
        lines = [f"**{_plain(self.title)}.** {_plain(self.full_caption)}", ""]
        lines.append("| | " + " | ".join(_plain(column.key) for column in self.columns) + " |")
        lines.append("|---|" + "---:|" * len(self.columns))
        best = {column.key: self.best(column.key) for column in self.columns}
        for row in self.rows:
            cells = [_markdown(self.get(row, c.key), best[c.key] == row) for c in self.columns]
            lines.append(f"| {_plain(row)} | " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"


def number(value: float, like: float | None = None, sign: bool = False) -> str:
    """Rounded to a hundredth of ``like`` (the value itself where None), 3 digits or more: 5.72, 0.2153, 1,204."""
    size = abs(value if like is None else like)
    digits = 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 1 else 3 if size >= 0.1 else 4
    value = round(value, digits) or 0.0  # no minus zero
    text = f"{value:{'+' if sign and value else ''},.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def interval(low: float | None, high: float | None, like: float | None = None, sign: bool = False) -> str:
    """``[5.60, 5.84]``, or nothing where there is no interval."""
    if low is None or high is None:
        return ""
    return f"[{number(low, like, sign)}, {number(high, like, sign)}]"


def gain(found: Cell) -> str:
    """``+1.52 SD [+1.21, +1.83]``: the gain over the base in its standard deviations, or nothing."""
    if found.gain is None:
        return ""
    return f"{number(found.gain, 1, True)} SD {interval(found.gain_low, found.gain_high, 1, True)}".strip()


def _markdown(found: Cell | None, best: bool) -> str:
    if found is None:
        return "—"
    value = number(found.value)
    parts = [f"**{value}**" if best else value, interval(found.low, found.high, found.value)]
    details = [gain(found), f"published {number(found.published)}" if found.published is not None else ""]
    text = " ".join(filter(None, parts))
    return "<br>".join(filter(None, [text, *details]))


def _plain(text: str) -> str:
    return re.sub(r"([|<>*_`\\])", r"\\\1", text.replace("\n", " "))

"""A table of means with intervals, rendered as CSV and Markdown. LaTeX is in latex.py, HTML in page.py.

Of stats only two files are imported that load nothing: the rest loads pandas, which formatting does not need.
"""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from benchbench.runtime.names import safe_name
from benchbench.runtime.printable import csv_text, printable
from benchbench.stats.letters import letters
from benchbench.stats.trainings import MOST_TRAININGS

if TYPE_CHECKING:
    from benchbench.stats.intervals import Interval
    from benchbench.stats.multiple import Verdict
    from benchbench.stats.paired import Difference


P_VALUE = "p-value"  # the unit of such a column
OLD_BOLD = "Bold: the highest mean of a column, which is no verdict. "


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Cell(_Model):
    """A mean with its interval, its paired difference to the base row, and the published value.

    ``gain`` is the difference in standard deviations of the base over its images. ``p`` is the p-value of the
    difference, ``p_holm`` the one corrected for its family of comparisons, which decides ``significant``; that is None
    for a row of too few trainings, whose numbers describe these trainings. ``trainings_needed`` is the number of
    trainings that would probably show a difference of half a standard deviation (stats/power.py). None means unknown.
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
    p: float | None = None
    p_holm: float | None = None
    significant: bool | None = None
    trainings_needed: int | None = None


def make_cell(
    mean: Interval,
    difference: Difference | None = None,
    published: float | None = None,
    verdict: Verdict | None = None,
    trainings_needed: int | None = None,
) -> Cell:
    """Returns the cell of a mean; rows other than the base have a difference to the base and a verdict on it."""
    numbers: dict[str, float | None] = {"value": mean.value, "low": mean.low, "high": mean.high}
    if difference is not None:
        for name, interval in (("difference", difference.raw), ("gain", difference.gain)):
            if interval is not None:
                numbers |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    if difference is not None and verdict is not None:
        numbers |= {"p": verdict.p, "p_holm": verdict.holm, "significant": verdict.significant}
        numbers["trainings_needed"] = trainings_needed
    counts = {"images": mean.images, "prompts": mean.prompts, "seeds": mean.seeds}
    return Cell.model_validate({**numbers, **counts, "published": published})


class Column(_Model):
    """A column: its name, unit and reward version. ``held_out`` marks a reward that no row was trained on.

    ``better`` says which values are better, or nothing where that is no question. ``published`` says what the published
    values of the column are of, such as ``aesthetic, sd15``; empty where they are of the same reward and model.
    """

    key: str
    unit: str = ""
    version: str = ""
    held_out: bool = False
    better: Literal["higher", "lower", ""] = ""
    published: str = ""

    @property
    def about(self) -> str:
        """The unit and the direction, such as ``points, higher is better ↑``."""
        arrow = {"higher": " ↑", "lower": " ↓", "": ""}[self.better]
        unit = "" if self.unit == P_VALUE else self.unit  # the column's name says it
        return ", ".join(filter(None, [unit, f"{self.better} is better{arrow}" if self.better else ""]))


class Table(_Model):
    """Cells by row and column; a cell that was not measured is absent from ``cells``.

    ``protocol`` is the digest of the measurement protocol. ``quick`` marks a run that is too small to quote. ``ahead``
    has the pairs of rows, the better one first, that paired tests tell apart, by column; a column is in it only where
    each two of its rows were tested with enough trainings for a verdict.
    """

    name: str
    title: str
    caption: str
    rows: tuple[str, ...]
    columns: tuple[Column, ...]
    cells: dict[str, dict[str, Cell]]
    protocol: str = ""
    quick: bool = False
    ahead: dict[str, tuple[tuple[str, str], ...]] = {}

    @model_validator(mode="before")
    @classmethod
    def _drop_ranks(cls, data: Any) -> Any:
        """Drops ``ranked`` of earlier versions, which made the highest mean bold without a test, and its sentence."""
        if not isinstance(data, dict) or "ranked" not in data:
            return data
        kept = {key: value for key, value in data.items() if key != "ranked"}
        return kept | {"caption": str(kept.get("caption", "")).replace(OLD_BOLD, "")}

    def get(self, row: str, column: str) -> Cell | None:
        """Returns the cell, or None where it was not measured."""
        return self.cells.get(row, {}).get(column)

    def best(self, column: str) -> str | None:
        """Returns the row that tests tell apart from every other row of the column as the better one, or None."""
        pairs = self.ahead.get(column, ())
        rows = [row for row in self.rows if pairs and self.get(row, column)]
        return next((row for row in rows if all((row, other) in pairs for other in rows if other != row)), None)

    def ties(self, column: str) -> dict[str, str]:
        """Returns letters by row: rows of the column that share one are not told apart. Empty without such tests."""
        if column not in self.ahead:
            return {}
        values = {row: cell.value for row in self.rows if (cell := self.get(row, column))}
        return letters(sorted(values, key=lambda row: -values[row]), self.ahead[column])

    @property
    def full_caption(self) -> str:
        """The caption, marked QUICK if the table is."""
        return f"QUICK, not a result: {self.caption}" if self.quick else self.caption

    @property
    def stem(self) -> str:
        """The name of the table's files, without extension."""
        stem = safe_name(self.name, "-")
        return f"{stem}-QUICK" if self.quick else stem

    def csv(self) -> str:
        """Returns the table as CSV, one line per cell, at full precision; an unknown number is empty."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["row", "column", "version", "unit", *Cell.model_fields, "ties", "protocol", "quick"])
        ties = {column.key: self.ties(column.key) for column in self.columns}
        for row in self.rows:
            for column in self.columns:
                if cell := self.get(row, column.key):
                    numbers = [_csv_value(value) for value in cell.model_dump().values()]
                    labels = [csv_text(label) for label in (row, column.key, column.version, column.unit)]
                    tied = ties[column.key].get(row, "")
                    writer.writerow([*labels, *numbers, tied, self.protocol, _csv_value(self.quick)])
        return out.getvalue()

    def markdown(self) -> str:
        """Returns a GitHub Markdown table under its caption; cells have mean, interval, gain and published value."""
        lines = [f"**{markdown_text(self.title)}.** {markdown_text(self.full_caption)}", ""]
        lines.append("| | " + " | ".join(map(_markdown_head, self.columns)) + " |")
        lines.append("|---|" + "---:|" * len(self.columns))
        best = {column.key: self.best(column.key) for column in self.columns}
        ties = {column.key: self.ties(column.key) for column in self.columns}
        for row in self.rows:
            cells = [
                _markdown_cell(self.get(row, c.key), c, best[c.key] == row, ties[c.key].get(row, ""))
                for c in self.columns
            ]
            lines.append(f"| {markdown_text(row)} | " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"


def format_number(value: float, like: float | None = None, sign: bool = False) -> str:
    """Returns the number with a precision that suits the size of ``like`` (default: the value): 5.72, 0.215, 1,204.

    ``sign`` writes a plus before positive numbers. A whole number of hundreds, as of images, has no decimals.
    """
    size = abs(value if like is None else like)
    digits = 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 1 else 3 if size >= 0.1 else 4
    if like is None and size >= 100 and float(value).is_integer():
        digits = 0
    value = round(value, digits) or 0.0  # no minus zero
    text = f"{value:{'+' if sign and value else ''},.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def format_interval(low: float | None, high: float | None, like: float | None = None, sign: bool = False) -> str:
    """Returns an interval such as ``[5.60, 5.84]``, with the precision of ``like``; empty where there is none."""
    if low is None or high is None:
        return ""
    return f"[{format_number(low, like, sign)}, {format_number(high, like, sign)}]"


def format_gain(cell: Cell) -> str:
    """Returns the gain over the base in its standard deviations, such as ``+1.52 SD* [+1.21, +1.83]``.

    The star marks a difference that is told apart from zero. Empty where the gain is unknown.
    """
    if cell.gain is None:
        return ""
    star = "*" if cell.significant else ""
    interval = format_interval(cell.gain_low, cell.gain_high, 1, True)
    return f"{format_number(cell.gain, 1, True)} SD{star} {interval}".strip()


def format_verdict(cell: Cell) -> str:
    """Returns what a difference that is not told apart says, such as ``not told apart; about 9 trainings ...``.

    Empty for a difference that is told apart, and for a row of too few trainings for a verdict.
    """
    if cell.significant is not False:
        return ""
    needed = format_trainings(cell.trainings_needed)
    return f"not told apart; {needed} would show 0.5 SD" if needed else "not told apart"


def format_trainings(needed: int | None) -> str:
    """Returns ``about 9 trainings`` or ``more than 20 trainings``; empty where the number is unknown."""
    if needed is None:
        return ""
    return f"more than {MOST_TRAININGS} trainings" if needed > MOST_TRAININGS else f"about {needed} trainings"


def format_value(cell: Cell, column: Column) -> str:
    """Returns the value of a cell; a p-value that would round to zero is ``< 0.0001``."""
    return "< 0.0001" if column.unit == P_VALUE and cell.value < 0.0001 else format_number(cell.value)


def format_published(cell: Cell, column: Column) -> str:
    """Returns the published value and what it is of, as ``published 5.79 (aesthetic, sd15)``; empty without one."""
    if cell.published is None:
        return ""
    return f"published {format_number(cell.published)}" + (f" ({column.published})" if column.published else "")


def detail_lines(cell: Cell, column: Column) -> list[str]:
    """Returns the lines of small print under a value and its interval."""
    return [text for text in (format_gain(cell), format_verdict(cell), format_published(cell, column)) if text]


def _csv_value(value: float | bool | None) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _markdown_head(column: Column) -> str:
    return "<br>".join(filter(None, [markdown_text(column.key), markdown_text(column.about)]))


def _markdown_cell(cell: Cell | None, column: Column, best: bool, ties: str) -> str:
    if cell is None:
        return "—"
    value = markdown_text(format_value(cell, column))
    parts = [f"**{value}**" if best else value, ties, format_interval(cell.low, cell.high, cell.value)]
    return "<br>".join([" ".join(filter(None, parts)), *map(markdown_text, detail_lines(cell, column))])


def markdown_text(text: str) -> str:
    """Returns plain text as Markdown that shows it in one line."""
    return re.sub(r"([|<>*_`\\])", r"\\\1", printable(text.replace("\n", " ")))

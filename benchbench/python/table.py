"""A table of a result, for a notebook and for a paper.

Imports the renderer of pages only inside a function: the commands load this file before names are checked.
"""

from __future__ import annotations

import html
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchbench.errors import UsageError
from benchbench.report.latex import latex
from benchbench.report.plain import plain
from benchbench.report.table import Cell, Column, detail_lines, format_interval, format_number
from benchbench.report.table import Table as Cells
from benchbench.runtime.files import write_atomic
from benchbench.runtime.printable import printable

if TYPE_CHECKING:
    import pandas as pd


class Table:
    """A table of means with their 95% intervals: a row for each model, a column for each reward.

    A notebook shows it as HTML, and ``print`` as aligned columns.

    Example:
        >>> result.table.save("table.tex")
        >>> result.table.to_frame()[["row", "column", "value", "low", "high", "p_holm"]]
    """

    def __init__(self, cells: Cells) -> None:
        self._cells = cells

    @property
    def title(self) -> str:
        """The title."""
        return self._cells.title

    @property
    def caption(self) -> str:
        """The caption: the conditions of the measurement, and the meaning of each number."""
        return self._cells.full_caption

    @property
    def rows(self) -> tuple[str, ...]:
        """The labels of the rows."""
        return self._cells.rows

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.key for column in self._cells.columns)

    def to_markdown(self) -> str:
        """Returns the table as GitHub Markdown, under its caption."""
        return self._cells.markdown()

    def to_latex(self) -> str:
        """Returns the table as LaTeX with booktabs: a ``table`` environment with its caption and label."""
        return latex(self._cells)

    def to_csv(self) -> str:
        """Returns a line for each cell, at full precision."""
        return self._cells.csv()

    def to_html(self) -> str:
        """Returns the table as a page of HTML that needs no other file."""
        from benchbench.report import page
        from benchbench.report.sections import Page, TableSection

        section = TableSection(title=self.title, tables=(self._cells,))
        return page.html(Page(title=self.title, intro="", sections=(section,), quick=self._cells.quick))

    def to_frame(self) -> pd.DataFrame:
        """Returns a pandas frame with a row for each cell and the columns of ``to_csv``.

        ``value``, ``low`` and ``high`` are in the unit of the reward. ``gain`` is the paired difference to the base row
        in its standard deviations, and ``p_holm`` the p-value of that difference, corrected for all tests of the table.
        """
        import pandas as pd

        return pd.read_csv(io.StringIO(self.to_csv()))

    def save(self, path: str | Path, overwrite: bool = False) -> Path:
        """Writes the table into a file, in the form of its ending: .html, .md, .tex or .csv.

        Args:
            path: The file.
            overwrite: Replace a file that is there with other content.

        Returns:
            The absolute path of the file.

        Raises:
            UsageError: The ending is another one, or the file is there with other content.
        """
        forms: dict[str, Callable[[], str]] = {
            ".html": self.to_html,
            ".md": self.to_markdown,
            ".tex": self.to_latex,
            ".csv": self.to_csv,
        }
        file = Path(path).expanduser().absolute()
        if file.suffix not in forms:
            raise UsageError(
                f"a table cannot be saved as {file.name}",
                f"its ending says the form, and there are {', '.join(forms)}",
                "give the file one of these endings",
            )
        content = forms[file.suffix]().encode()
        if file.exists() and not overwrite and (not file.is_file() or file.read_bytes() != content):
            raise UsageError(
                f"{file} is there already", "its content is another", "name another file, or overwrite=True"
            )
        write_atomic(file, content)
        return file

    def _repr_html_(self) -> str:
        """Returns the table as HTML for a notebook, with the small print under each value and the caption folded."""
        columns = self._cells.columns
        head = "".join(f"<th>{_text(column.key)}<br><small>{_text(column.unit)}</small></th>" for column in columns)
        lines = []
        for row in self.rows:
            found = [f"<td>{_cell(self._cells.get(row, column.key), column)}</td>" for column in columns]
            lines.append(f"<tr><th>{_text(row)}</th>{''.join(found)}</tr>")
        title = f"{'QUICK, not a result. ' if self._cells.quick else ''}{self.title}"
        return (
            f"<table><caption>{_text(title)}</caption><thead><tr><th></th>{head}</tr></thead>"
            f"<tbody>{''.join(lines)}</tbody></table>"
            f"<details><summary>What the numbers mean</summary>{_text(self._cells.caption)}</details>"
        )

    def __repr__(self) -> str:
        return plain(self._cells)


def _cell(cell: Cell | None, column: Column) -> str:
    if cell is None:
        return "—"
    small = [format_interval(cell.low, cell.high, cell.value), *detail_lines(cell, column)]
    return "<br>".join([format_number(cell.value), *(f"<small>{_text(text)}</small>" for text in small if text)])


def _text(text: str) -> str:
    return html.escape(printable(text))

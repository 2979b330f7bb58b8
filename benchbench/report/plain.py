"""Renders tables as plain text for a terminal: aligned columns, in parts under each other where the screen is narrower.

A cell reads as on the page: its value and interval, then lines with its gain, its verdict and the published value.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import NamedTuple

from benchbench.report.table import Cell, Column, Table, detail_lines, format_interval, format_value
from benchbench.runtime.printable import printable

WIDTH = 120  # letters of a line where no terminal says its width, as in a pipe
PROSE = 100  # letters of a line of prose, at most
NARROW = 16  # letters of a heading before it is broken, at least
DETAIL = 32  # letters of a line under a value before it is broken, at least
GAP = "  "


class Block(NamedTuple):
    """A column as it is printed: the lines of its heading, the lines of each row's cell, and its width."""

    heading: list[str]
    cells: dict[str, list[str]]
    width: int


def result_text(answer: str, page: Path, tables: Sequence[Table]) -> str:
    """Returns what a command prints at its end: the answer of the page, where the page is, and the tables."""
    first = [*_prose(answer), f"report: {page}"]
    return "\n".join(["", *first, *(f"\n{plain(table)}" for table in tables)])


def plain(table: Table) -> str:
    """Returns the table under its title and above its caption, as wide as the terminal, or as 120 letters in a pipe."""
    width = _width()
    label_lines = {row: wrap(printable(row), max(NARROW, width // 3)) or [""] for row in table.rows}
    label_width = max((len(line) for lines in label_lines.values() for line in lines), default=0)
    blocks = [_block(table, column) for column in table.columns]
    parts: list[list[Block]] = []
    for block in blocks:
        if not parts or _room([*parts[-1], block]) > width - label_width:
            parts.append([])
        parts[-1].append(block)
    lines = _prose(table.title)
    for part in parts:
        lines += ["", *_lines(part, label_lines, label_width)]
    return "\n".join([*lines, "", *_prose(table.full_caption)])


def _prose(text: str) -> list[str]:
    return wrap(printable(text), min(_width(), PROSE), break_on_hyphens=False)


def _width() -> int:
    return shutil.get_terminal_size((WIDTH, 24)).columns


def _block(table: Table, column: Column) -> Block:
    """Returns a column with its heading broken into lines that are no wider than its cells need."""
    found = {row: table.get(row, column.key) for row in table.rows}
    best, ties = table.best(column.key), table.ties(column.key)
    values = {row: _value(cell, column, best == row) for row, cell in found.items()}
    value_width, tie_width = max(map(len, values.values()), default=0), max(map(len, ties.values()), default=0)
    firsts = {row: value.rjust(value_width) for row, value in values.items()}
    if ties:
        firsts = {row: f"{value} {ties.get(row, '').ljust(tie_width)}" for row, value in firsts.items()}
    cells = {row: _cell(firsts[row], cell, column) for row, cell in found.items()}
    widest = max((len(line) for lines in cells.values() for line in lines), default=0)
    room = max(widest, NARROW)
    heading = [line for text in (column.key, column.about) for line in wrap(printable(text), room)]
    return Block(heading, cells, max(widest, *map(len, heading)))


def _value(cell: Cell | None, column: Column, best: bool) -> str:
    value = "-" if cell is None else format_value(cell, column)
    return f"**{value}**" if best else value


def _cell(value: str, cell: Cell | None, column: Column) -> list[str]:
    """Returns the lines of a cell."""
    if cell is None:
        return [value]
    first = f"{value} {format_interval(cell.low, cell.high, cell.value)}".rstrip()
    details = (wrap(printable(text), max(len(first), DETAIL)) for text in detail_lines(cell, column))
    return [first, *(line for lines in details for line in lines)]


def _room(blocks: Sequence[Block]) -> int:
    return sum(len(GAP) + block.width for block in blocks)


def _lines(part: Sequence[Block], labels: dict[str, list[str]], label_width: int) -> list[str]:
    """Returns the lines of some columns beside the labels of the rows: heading, rule, rows."""
    heading = _beside([], [block.heading for block in part], part, label_width)
    rule = GAP.join(["-" * label_width, *("-" * block.width for block in part)])
    rows = (_beside(label, [block.cells[row] for block in part], part, label_width) for row, label in labels.items())
    return [*heading, rule, *(line for row in rows for line in row)]


def _beside(label: Sequence[str], cells: Sequence[list[str]], part: Sequence[Block], label_width: int) -> list[str]:
    """Returns the lines of a row: its label, and its cells beside each other."""
    widths = [label_width, *(block.width for block in part)]
    height = max(len(label), *map(len, cells))
    padded = [[*lines, *[""] * (height - len(lines))] for lines in (list(label), *cells)]
    lines = zip(*padded, strict=True)
    return [GAP.join(map(str.ljust, line, widths)).rstrip() for line in lines]

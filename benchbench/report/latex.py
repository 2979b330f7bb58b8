"""Renders a table as LaTeX that needs only booktabs, and that is no wider than the text of LaTeX's article.

A table that is too wide is set smaller, then cut into parts under each other; one that is too tall for a page is cut
into several. What the caption has no room for, the caveats among it, stands in small print under the table. All text is
escaped, and labels stay as they are.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from benchbench.report.captions import split_caption
from benchbench.report.latex_text import escape, escape_prose, width, wrap
from benchbench.report.table import Cell, Column, Table, format_gain, format_interval, format_number, format_value

WIDTH, HEIGHT = 345 * 0.97, 460  # points; the text of article is 345 by 550, and the caption takes the rest
GROUP = 150  # points of the longest word that stands above several columns
MOST_NARROW = 24  # points of a column
SMALLER = 7  # points, of intervals, differences and the notes under a table
NOTE_LINE = 8  # points from line to line of the notes
ARROWS = {"higher": " \N{UPWARDS ARROW}", "lower": " \N{DOWNWARDS ARROW}", "": ""}


@dataclass(frozen=True)
class Type:
    """A size of type: its command, its points, the points from line to line, and half the space between columns.

    A column's heading of more than ``head`` points, and a row's label of more than ``label``, is broken into lines.
    """

    command: str
    points: int
    line: float
    gap: int
    head: int = 46
    label: int = 104


TYPES = (
    Type(r"\small", 9, 11, 6, head=110, label=170),
    Type(r"\small", 9, 11, 6, head=72, label=130),
    Type(r"\small", 9, 11, 6),
    Type(r"\small", 9, 11, 4),
    Type(r"\footnotesize", 8, 9.5, 4),
    Type(r"\footnotesize", 8, 9.5, 3),
)


@dataclass(frozen=True)
class Block:
    """A column as it is set: the word above it and its neighbours, its heading, its cells by row, and its width."""

    group: str
    heading: list[str]
    cells: dict[str, list[str]]
    width: float


def latex(table: Table) -> str:
    """Returns the ``table`` environments with caption and label; bold is the row that tests put before all others."""
    for style in TYPES:
        labels = {row: wrap(row, style.label, style.points) for row in table.rows}
        blocks = [_block(table, column, style) for column in table.columns]
        label_width = max((width(line, style.points) for lines in labels.values() for line in lines), default=0)
        parts = _parts(blocks, WIDTH - label_width, style.gap)
        if len(parts) == 1:
            break
    tabulars: list[tuple[float, list[str]]] = []
    for part in parts:
        tabulars += _tabulars(part, labels, style)
    tabulars += _notes(table)
    environments = [_environment(table, lines, style, i) for i, lines in enumerate(_pages(tabulars))]
    return "\n".join(["% needs \\usepackage{booktabs}", *environments]) + "\n"


def _block(table: Table, column: Column, style: Type) -> Block:
    """Returns a column as it is set."""
    group, _, name = column.key.rpartition(": ")
    beside = [other.key for other in table.columns if other.key.rpartition(": ")[0] == group]
    if not group or len(beside) < 2 or width(group, style.points) > GROUP:
        group, name = "", column.key
    best, ties, cells, widest = table.best(column.key), table.ties(column.key), {}, float(MOST_NARROW)
    for row in table.rows:
        cell = table.get(row, column.key)
        value = format_value(cell, column) if cell else "--"
        bold = best == row
        small = _small(cell) if cell else []
        first_width = width(value, style.points, bold) + width(ties.get(row, ""), SMALLER)
        widest = max(widest, first_width, *(width(text, SMALLER) for text in small), 0)
        first = rf"\textbf{{{escape(value)}}}" if bold else escape(value) if cell else value
        first += rf"\textsuperscript{{{ties[row]}}}" if row in ties else ""
        cells[row] = [first, *(rf"{{\scriptsize {escape(text)}}}" for text in small)]
    heading = wrap(name, max(widest, style.head), style.points)
    heading[-1] += ARROWS[column.better]
    widest = max(widest, *(width(line, style.points) for line in heading))
    return Block(group, [escape(line) for line in heading], cells, widest)


def _small(cell: Cell) -> list[str]:
    """Returns the lines under a value: its interval, its difference to the base, and the published value."""
    gain = format_gain(cell).split(" [")
    lines = [format_interval(cell.low, cell.high, cell.value), gain[0], *(f"[{text}" for text in gain[1:])]
    if cell.published is not None:
        lines.append(f"\N{DAGGER}{format_number(cell.published)}")
    return [line for line in lines if line]


def _parts(blocks: Sequence[Block], room: float, gap: int) -> list[list[Block]]:
    """Returns the columns in parts that are no wider than ``room``; columns of one group stay together if they fit."""
    units: list[list[Block]] = []
    for group, found in groupby(blocks, key=lambda block: block.group):
        together = list(found)
        fits = group and _room(together, gap) <= room
        units += [together] if fits else [[block] for block in together]
    greedy = _filled(units, room, gap, len(units))
    even = _filled(units, room, gap, -(-len(units) // max(len(greedy), 1)))
    return even if len(even) == len(greedy) else greedy


def _filled(units: Sequence[list[Block]], room: float, gap: int, most: int) -> list[list[Block]]:
    """Returns parts of at most ``most`` units that are no wider than ``room``, except where one unit is wider."""
    parts: list[list[list[Block]]] = []
    for unit in units:
        wider = [block for other in parts[-1] for block in other] + unit if parts else unit
        if parts and len(parts[-1]) < most and _room(wider, gap) <= room:
            parts[-1].append(unit)
        else:
            parts.append([unit])
    return [[block for unit in part for block in unit] for part in parts]


def _room(blocks: Sequence[Block], gap: int) -> float:
    """Returns the points that columns take; a group's word that is wider than its columns widens the last of them."""
    total = 0.0
    for group, found in groupby(blocks, key=lambda block: block.group):
        columns = list(found)
        total += max(sum(block.width + 2 * gap for block in columns), width(group, 9) + 2 * gap if group else 0)
    return total


def _tabulars(part: Sequence[Block], labels: dict[str, list[str]], style: Type) -> list[tuple[float, list[str]]]:
    """Returns the height and the lines of each tabular of a part; a part that is taller than a page is cut."""
    head = _head(part)
    head_height = style.line * len(head)
    chunks: list[tuple[float, list[str]]] = []
    for row, label in labels.items():
        lines = _row(part, row, label)
        height = (style.line - 2) * (len(lines) - 1) + style.line + 3
        if not chunks or chunks[-1][0] + height > HEIGHT:
            chunks.append((head_height, []))
        chunks[-1] = (chunks[-1][0] + height, [*chunks[-1][1], *lines])
    begin = [rf"\begin{{tabular}}{{@{{}}l{'r' * len(part)}@{{}}}}", r"\toprule", *head, r"\midrule"]
    return [(height, [*begin, *lines, r"\bottomrule", r"\end{tabular}"]) for height, lines in chunks]


def _head(part: Sequence[Block]) -> list[str]:
    lines = []
    if any(block.group for block in part):
        cells, rules, first = [""], [], 2
        for group, found in groupby(part, key=lambda block: block.group):
            count = len(list(found))
            cells.append(rf"\multicolumn{{{count}}}{{c}}{{{escape(group)}}}")
            rules += [rf"\cmidrule(lr){{{first}-{first + count - 1}}}"] if group else []
            first += count
        lines += [" & ".join(cells) + r" \\", " ".join(rules)]
    deepest = max(len(block.heading) for block in part)
    for i in range(deepest):
        cells = [([""] * (deepest - len(block.heading)) + block.heading)[i] for block in part]
        lines.append(" & ".join(["", *cells]) + r" \\" + ("[-2pt]" if i < deepest - 1 else ""))
    return lines


def _row(part: Sequence[Block], row: str, label: Sequence[str]) -> list[str]:
    """Returns the lines of a row: its label, broken if it is long, beside values and what stands under them."""
    count = max(len(label), *(len(block.cells[row]) for block in part))
    lines = []
    for i in range(count):
        first = f"{{{escape(label[i])}}}" if i < len(label) else ""
        # values in braces: LaTeX would read a leading [ or * as an argument of the preceding line break
        cells = [block.cells[row][i] if i < len(block.cells[row]) else "" for block in part]
        lines.append(" & ".join([first, *cells]) + r" \\" + ("[-2pt]" if i < count - 1 else "[2pt]"))
    return lines


def _pages(tabulars: Sequence[tuple[float, list[str]]]) -> list[list[list[str]]]:
    """Returns the tabulars of each environment, so that none is taller than a page."""
    pages: list[list[list[str]]] = []
    used = 0.0
    for height, lines in tabulars:
        if not pages or used + height + 12 > HEIGHT:
            pages.append([])
            used = 0.0
        pages[-1].append(lines)
        used += height + 12
    return pages


def _environment(table: Table, tabulars: Sequence[list[str]], style: Type, number: int) -> str:
    """Returns a ``table`` environment; those after the first continue it under the same number."""
    lines = [r"\begin{table}", rf"\centering{style.command}\sloppy", rf"\setlength{{\tabcolsep}}{{{style.gap}pt}}"]
    if number:
        lines += [r"\addtocounter{table}{-1}", rf"\caption{{{escape_prose(table.title)} (continued).}}"]
    else:
        lines += [rf"\caption{{{escape_prose(_caption(table))}}}", rf"\label{{tab:{table.stem}}}"]
    for i, tabular in enumerate(tabulars):
        lines += [r"\par\medskip" if i else r"\par\smallskip", *tabular]
    return "\n".join([*lines, r"\end{table}"])


def _caption(table: Table) -> str:
    """Returns the title, the first sentences of the caption, and what the signs mean."""
    lead = split_caption(table.full_caption)[0]
    cells = [cell for row in table.cells.values() for cell in row.values()]
    published = {c.published for c in table.columns if any(_has_published(table, row, c) for row in table.rows)}
    signs = []
    if "bold:" not in lead.lower() and any(table.best(column.key) for column in table.columns):
        signs.append("Bold: told apart from every other row.")
    if "letter" not in lead and any(map(table.ties, (column.key for column in table.columns))):
        signs.append("Rows that share a letter are not told apart.")
    if "*:" not in lead and any(cell.significant for cell in cells):
        signs.append("*: told apart from zero.")
    if published:
        words = "; ".join(sorted(filter(None, published)))
        signs.append(f"\N{DAGGER}: published{f' ({words})' if words else ''}.")
    return " ".join([f"{table.title}.", lead, *signs])


def _has_published(table: Table, row: str, column: Column) -> bool:
    cell = table.get(row, column.key)
    return cell is not None and cell.published is not None


def _notes(table: Table) -> list[tuple[float, list[str]]]:
    """Returns the height and the lines of the small print with the rest of the caption; empty where there is none."""
    rest = split_caption(table.full_caption)[1]
    if not rest:
        return []
    height = NOTE_LINE * (width(rest, SMALLER) // WIDTH + 2)
    lines = textwrap.wrap(escape_prose(rest), 110, break_long_words=False, break_on_hyphens=False)
    return [(height, [r"\begin{minipage}{\linewidth}\scriptsize", *lines, r"\end{minipage}"])]

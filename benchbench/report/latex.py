"""Renders a table as LaTeX that needs only booktabs. All text is escaped."""

from __future__ import annotations

import re

from benchbench.report.table import Cell, Table, detail_lines, format_interval, format_number
from benchbench.runtime.printable import printable

ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "\N{MINUS SIGN}": "$-$",
    "\n": " ",
    **{sign: f"\\{sign}" for sign in "{}$&#_%"},
}
SPECIAL = re.compile("|".join(map(re.escape, ESCAPES)))


def latex(table: Table) -> str:
    """Returns a ``table`` environment with caption and label. The best value of each column is bold."""
    best = {column.key: table.best(column.key) for column in table.columns}
    lines = [
        "% needs \\usepackage{booktabs} and \\usepackage[T1]{fontenc}",
        r"\begin{table}",
        r"\centering\small",
        rf"\caption{{{escape(table.title)}. {escape(table.full_caption)}}}",
        rf"\label{{tab:{table.stem}}}",
        rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"\toprule",
        " & ".join(["", *(escape(column.key) for column in table.columns)]) + r" \\",
        r"\midrule",
    ]
    for row in table.rows:
        cells = [_cell(table.get(row, column.key), best[column.key] == row) for column in table.columns]
        # in braces: LaTeX would read a leading [ or * as an argument of the preceding line break
        lines.append(" & ".join([f"{{{escape(row)}}}", *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def escape(text: str) -> str:
    """Returns plain text as LaTeX that prints it."""
    return SPECIAL.sub(lambda match: ESCAPES[match.group()], printable(text, keep="\n"))


def _cell(cell: Cell | None, best: bool) -> str:
    if cell is None:
        return "--"
    value = escape(format_number(cell.value))
    small = [text for text in (format_interval(cell.low, cell.high, cell.value), *detail_lines(cell)) if text]
    lines = [rf"\textbf{{{value}}}" if best else value, *(rf"{{\scriptsize {escape(text)}}}" for text in small)]
    stacked = r" \\ ".join(lines)
    return stacked if len(lines) == 1 else rf"\shortstack[r]{{{stacked}}}"

"""A table for a paper: LaTeX with booktabs and nothing else, every word escaped."""

from __future__ import annotations

import re

from benchbench.report.table import Cell, Table, details, interval, number

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
SIGNS = re.compile("|".join(map(re.escape, ESCAPES)))


def latex(table: Table) -> str:
    """A ``table`` environment with caption and label; the best of a column is bold."""
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
        # braces, since a row that began with [ or * would be read as an argument of the line break before it
        lines.append(" & ".join([f"{{{escape(row)}}}", *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def escape(text: str) -> str:
    """Plain words as LaTeX that prints them."""
    return SIGNS.sub(lambda found: ESCAPES[found.group()], text)


def _cell(found: Cell | None, best: bool) -> str:
    if found is None:
        return "--"
    value = escape(number(found.value))
    small = [text for text in (interval(found.low, found.high, found.value), *details(found)) if text]
    lines = [rf"\textbf{{{value}}}" if best else value, *(rf"{{\scriptsize {escape(text)}}}" for text in small)]
    stacked = r" \\ ".join(lines)
    return stacked if len(lines) == 1 else rf"\shortstack[r]{{{stacked}}}"

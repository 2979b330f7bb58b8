"""The published table, as the paper prints it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from benchbench.report.table import Cell, Column, Table
from benchbench.reproduce.spec import Spec

BETTER: dict[str, Literal["higher", "lower"]] = {
    "%": "higher",  # a win rate
    "points": "higher",
    "100 x cosine": "higher",
    "kB": "higher",  # jpeg_compressibility is the negative size
    "minutes": "lower",
    "GB": "lower",
    "relative error": "lower",
}
"""The direction of the published values by their unit."""


def with_published_words(table: Table, words: Mapping[str, str]) -> Table:
    """Returns the table with what the published values of a column are of, where another reward or model gave them."""
    columns = (column.model_copy(update={"published": words.get(column.key, "")}) for column in table.columns)
    return table.model_copy(update={"columns": tuple(columns)})


def published_tables(spec: Spec) -> tuple[Table, ...]:
    """Returns one table for each published prompt set, with all rows and columns."""
    lines = spec.published_lines()
    tables: list[Table] = []
    for prompts in dict.fromkeys(line["prompts"] for line in lines):
        values = spec.values(prompts)
        rows, columns = list(dict.fromkeys(r for r, _ in values)), list(dict.fromkeys(c for _, c in values))
        set_lines = [line for line in lines if line["prompts"] == prompts]
        base = " and ".join(dict.fromkeys(line["model"] for line in set_lines))
        unit = {line["column"]: line["unit"] for line in set_lines}
        caveats = dict.fromkeys(part for line in set_lines for part in line["caveat"].split("; ") if part)
        where = "" if prompts == "none" else f", on {prompts}"
        tables.append(
            Table(
                name=f"{spec.id.replace(':', '-')}-published" + (f"-{prompts}" if tables else ""),
                title=f"{spec.source}, as printed{where}",
                caption=f"Values of the paper on {base}: on any other model they are compared by order, not by value. "
                + "; ".join(caveats),
                rows=tuple(rows),
                columns=tuple(Column(key=c, unit=unit[c], better=BETTER.get(unit[c], "")) for c in columns),
                cells={r: {c: Cell(value=values[r, c]) for c in columns if (r, c) in values} for r in rows},
            )
        )
    return tuple(tables)

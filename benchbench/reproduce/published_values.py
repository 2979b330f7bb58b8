"""The published table, as the paper prints it."""

from __future__ import annotations

from benchbench.report.table import Cell, Column, Table
from benchbench.reproduce.spec import Spec


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
                columns=tuple(Column(key=c, unit=unit[c]) for c in columns),
                cells={r: {c: Cell(value=values[r, c]) for c in columns if (r, c) in values} for r in rows},
                ranked=False,
            )
        )
    return tuple(tables)

"""The papers' numbers: one schema, and numbers that are numbers."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

PUBLISHED = Path(__file__).parents[2] / "results" / "published"
COLUMNS = ["paper", "table", "row", "column", "value", "unit", "statistic", "prompts", "samples", "model"]
COLUMNS += ["reward_version", "inferred", "caveat"]
MAY_BE_EMPTY = {"inferred", "caveat"}


@pytest.mark.parametrize("path", sorted(PUBLISHED.glob("*.csv")), ids=lambda path: path.stem)
def test_a_published_table_follows_the_schema(path: Path) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows and list(rows[0]) == COLUMNS
    for row in rows:
        float(row["value"])
        assert f"{row['paper']}-{row['table']}" == path.stem
        assert all(row[column] for column in COLUMNS if column not in MAY_BE_EMPTY), row
        assert not row["inferred"] or row["caveat"], f"{row} says that something is inferred, but not why"
    cells = [(row["row"], row["column"], row["prompts"], row["statistic"]) for row in rows]
    assert len(set(cells)) == len(cells)


def test_tailorpo_2_as_printed() -> None:
    with (PUBLISHED / "tailorpo-2.csv").open(encoding="utf-8", newline="") as file:
        value = {(row["row"], row["column"]): float(row["value"]) for row in csv.DictReader(file)}
    assert len(value) == 28  # 6 rows of 5, less the two dashes in the last column
    assert value["base", "aesthetic"] == 5.79
    assert value["tailorpo-g", "aesthetic"] == 6.96
    assert value["tailorpo", "jpeg_compressibility"] == -6.71
    assert ("spo", "jpeg_compressibility") not in value

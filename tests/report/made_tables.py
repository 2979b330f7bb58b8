"""Tables of every kind of report: those in results/, and of a study, a comparison and hostile words."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchbench.evaluate.compare_report import comparison_table
from benchbench.protocols.study import analyse
from benchbench.report.table import Cell, Column, Table
from benchbench.stats.multiple import corrected_verdicts
from benchbench.stats.paired import difference
from benchbench.study.sketch import sketch
from benchbench.study.vote_store import StoredVote
from tests.evaluate.test_reward_table import PROTOCOL, frame
from tests.report.pages import EVIL, TABLE

RESULTS = Path(__file__).parents[2] / "results" / "shapes"
PUBLISHED = "aesthetic, sd15"


def result_tables() -> Iterator[Table]:
    """Yields every table in results/, with the longest caption of its report."""
    for path in sorted(RESULTS.glob("*/*.csv")):
        captions = re.findall(r"^\*\*(.+?)\.\*\* (.+)$", (path.parent / "report.md").read_text(encoding="utf-8"), re.M)
        title, caption = max(captions, key=lambda found: len(found[1]))
        yield table_of(path, title, caption)


def table_of(path: Path, title: str, caption: str) -> Table:
    """Returns the table in a CSV file, the best row of each column ahead of the others, and published values named."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    cells: dict[str, dict[str, Cell]] = {}
    for line in lines:
        numbers = {name: line[name] for name in Cell.model_fields if line.get(name)}
        cells.setdefault(line["row"], {})[line["column"]] = Cell.model_validate(numbers)
    units = {line["column"]: line["unit"] for line in lines}
    columns = tuple(Column(key=key, unit=unit, better="higher", published=PUBLISHED) for key, unit in units.items())
    best = {
        key: max((row for row in cells if key in cells[row]), key=lambda row: cells[row][key].value) for key in units
    }
    ahead = {key: tuple((row, other) for other in cells if other != row) for key, row in best.items()}
    return Table(
        name=f"{path.parent.name}-{path.stem}",
        title=re.sub(r"\\(.)", r"\1", title),
        caption=re.sub(r"\\(.)", r"\1", caption),
        rows=tuple(cells),
        columns=columns,
        cells=cells,
        ahead=ahead,
    )


def study_tables() -> list[Table]:
    """Returns the tables of a study of three rows with two questions, all of whose raters answered."""
    study = sketch(4, 4, 1, arms=3, questions=("Which picture do you prefer?", "Which fits the prompt?"))
    votes = [
        StoredVote(slot, position, question, ("left", "right", "draw")[(slot + position + question) % 3], 2000, 0.0)
        for slot, pages in enumerate(study.assignment)
        for position in range(len(pages))
        for question in range(2)
    ]
    scores = {"shapes-pref": [float(i % 5) for i in range(len(study.pictures))]}
    return list(analyse(study, votes, scores).tables)


def comparison() -> Table:
    """Returns the table of ``bench compare`` on three rewards, one of them with a difference of every image."""
    sides = {name: (frame(lift, name), frame(0, name)) for name, lift in (("a", 0), ("reward-b", 1), ("c_d", -2))}
    differences = {name: difference(*scores) for name, scores in sides.items()}
    measured: Any = SimpleNamespace(conditions=PROTOCOL)
    labels = ("tailorpo-shapes-shapes-colour-s0-b734197f", "d3po-shapes-shapes-colour-s0-4604930e")
    return comparison_table(labels, sides, differences, corrected_verdicts(differences), measured, "shapes-simple")


def hostile_tables() -> list[Table]:
    """Returns a table of hostile words, one with words of 80 letters, and one that is taller and wider than a page."""
    word = "a-run_" + "x" * 80
    cell = Cell(value=-12345.678, low=-23456.7, high=-1234.5, gain=-1, gain_low=-2, gain_high=0, significant=True)
    large = {f"row {i} of a longer name": {f"r{j}: win": cell for j in range(9)} for i in range(40)}
    long = {word: {word: cell, f"{word}: a": cell, f"{word}: b": cell}}
    made = [
        Table(
            name=f"made {i}",
            title=f"{word} {EVIL} “é” a--b ×",
            caption=f"{word}. {EVIL} " + "A sentence. " * 60,
            rows=tuple(cells),
            columns=tuple(Column(key=key, better="lower", published=word) for key in next(iter(cells.values()))),
            cells=cells,
            quick=True,
        )
        for i, cells in enumerate((large, long))
    ]
    return [TABLE, *made]

"""People's votes on pairs of images, as D3PO learns from them: a file of rows, and its check.

A CSV file with a header line or a JSONL file, with the columns ``prompt``, ``index`` (the prompt's place in its set,
the first number of an image's file name in the store), ``seed`` (the evaluation seed), ``i`` and ``j`` (sample
numbers, the second number of the file names) and ``winner`` (i's number, j's number, or ``tie``).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from benchbench.runtime.json_files import parse

COLUMNS = ("prompt", "index", "seed", "i", "j", "winner")
SHOWN = 5  # bad rows that an error names


class Vote(BaseModel):
    """One judgement. The winner is None for a tie."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str
    index: int
    seed: int
    i: int
    j: int
    winner: int | None


def read_votes(value: Any) -> Any:
    """The votes of a file's path; anything else goes on to be validated as it is.

    Errors: ValueError naming the bad rows by their line.
    """
    if not isinstance(value, str | Path):
        return value
    path = Path(value).expanduser()
    try:
        rows = list(_rows(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the votes cannot be read: {error}") from error
    votes, bad = [], []
    for line, row in rows:
        try:
            votes.append(_vote(row))
        except ValueError as error:
            bad.append(f"line {line}: {error}")
    if bad:
        more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        raise ValueError(f"{len(bad)} of {len(rows)} votes are bad: {'; '.join(bad[:SHOWN])}{more}")
    if all(vote.winner is None for vote in votes):
        raise ValueError(f"{path} has {len(votes)} votes, none of which prefers an image")
    return tuple(votes)


Votes = Annotated[tuple[Vote, ...], BeforeValidator(read_votes)]
"""``--set method.votes=FILE`` gives a path; a run's record holds the rows themselves, so that it can be repeated."""


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            for row in reader:
                yield reader.line_num, row
    elif path.suffix == ".jsonl":
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if text.strip():
                yield number, text
    else:
        raise OSError(f"{path.name} is neither .csv nor .jsonl")


def _vote(row: Any) -> Vote:
    """Errors: ValueError saying what is wrong with the row."""
    if isinstance(row, str):
        row = parse(row)
    if not isinstance(row, dict):
        raise ValueError(f"not an object with {', '.join(COLUMNS)}")
    absent = [name for name in COLUMNS if row.get(name) in (None, "")]
    if absent:
        raise ValueError(f"no {', '.join(absent)}")
    if not str(row["prompt"]).strip():
        raise ValueError("the prompt is empty")
    numbers = {name: _whole(name, row[name]) for name in ("index", "seed", "i", "j")}
    winner = None if row["winner"] == "tie" else _whole("winner", row["winner"])
    if numbers["i"] == numbers["j"]:
        raise ValueError(f"i and j are both {numbers['i']}")
    if winner not in (None, numbers["i"], numbers["j"]):
        raise ValueError(f"the winner {winner} is neither i={numbers['i']} nor j={numbers['j']}, nor tie")
    return Vote(prompt=str(row["prompt"]), winner=winner, **numbers)


def _whole(name: str, value: Any) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not text.isdecimal():
        raise ValueError(f"{name}={value!r} is not a whole number")
    return int(text)

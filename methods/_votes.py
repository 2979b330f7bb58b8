"""Reads and checks a file of people's votes on pairs of images, for D3PO.

The file is CSV with a header line, or JSONL, with the columns ``prompt``, ``index`` (the prompt's position in its set,
which is the first number of an image's file name in the store), ``seed`` (the evaluation seed), ``i`` and ``j`` (sample
numbers, the second number of the file names) and ``winner`` (i's number, j's number, or ``tie``). It may also have
``steps`` and ``guidance_scale``, with which the images were made, and ``sha256_i`` and ``sha256_j``, the hashes of
their pixels (``image_sha256`` in the scores, and in the image files): ``train.votes`` compares them with the run.

JSONL that ``bench study export --votes`` wrote begins with a header, an object with the field ``votes_of``. It says how
the images of all votes were made, in the fields ``HEADER_FIELDS``; ``adapter_hash`` is null for the base model.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from benchbench.runtime.json_files import parse, parse_object

COLUMNS = ("prompt", "index", "seed", "i", "j", "winner")
OPTIONAL = ("steps", "guidance_scale", "sha256_i", "sha256_j")
HEADER_FIELDS = ("steps", "guidance_scale", "eta", "shared_start", "model_hash", "adapter_hash", "prompts_hash")
MAX_SHOWN = 5  # bad rows that an error names


class Vote(BaseModel):
    """One person's judgement of two images. The winner is None for a tie."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str
    index: int
    seed: int
    i: int
    j: int
    winner: int | None
    steps: int | None = None
    guidance_scale: float | None = None
    sha256_i: str | None = None
    sha256_j: str | None = None
    eta: float | None = None
    shared_start: bool | None = None
    """True where the images of a prompt start from one x_T."""
    model_hash: str | None = None
    adapter_hash: str | None = None
    """The hash of fine-tuned weights. None: the images are of the base model."""
    prompts_hash: str | None = None

    @model_serializer(mode="wrap")
    def _without_unknown(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves out what the file does not say, so that its votes have the digest that they always had."""
        return {name: value for name, value in dump(self).items() if value is not None or name == "winner"}


def read_votes(value: Any) -> Any:
    """Returns the votes in the file at a path; returns any other value unchanged, for pydantic to validate.

    Raises ValueError, naming the bad rows by line.
    """
    if not isinstance(value, str | Path):
        return value
    path = Path(value).expanduser()
    try:
        rows = list(_rows(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the votes cannot be read: {error}") from error
    votes, bad, header = [], [], dict[str, Any]()
    for line, row in rows:
        try:
            if line == 1 and isinstance(row, str) and "votes_of" in parse_object(row):
                header = _header(row)
                continue
            votes.append(_vote(row, header))
        except ValueError as error:
            bad.append(f"line {line}: {error}")
    if bad:
        more = f"; and {len(bad) - MAX_SHOWN} more" if len(bad) > MAX_SHOWN else ""
        raise ValueError(f"{len(bad)} of {len(rows) - bool(header)} votes are bad: {'; '.join(bad[:MAX_SHOWN])}{more}")
    if all(vote.winner is None for vote in votes):
        raise ValueError(f"{path} has {len(votes)} votes, and none prefers an image")
    return tuple(votes)


Votes = Annotated[tuple[Vote, ...], BeforeValidator(read_votes)]
"""``--set method.votes=FILE`` gives a path; the run's record holds the rows, so that the run can be repeated."""


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Yields each row with its line number: a dict from CSV, the text from JSONL."""
    if path.is_dir() or path.suffix == ".parquet":
        raise OSError(
            f"{path.name} holds preference pairs, whose images may be of several models, and D3PO walks again to "
            "images of its base model; train a method that learns from pairs with --pairs, or export --votes from a "
            "study of one row"
        )
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


def _header(text: str) -> dict[str, Any]:
    """Returns what a header says of all votes. Raises ValueError where it lacks a field."""
    header = parse_object(text)
    absent = [name for name in HEADER_FIELDS if name not in header]
    if absent:
        raise ValueError(f"the header has no {', '.join(absent)}")
    return {name: header[name] for name in HEADER_FIELDS}


def _vote(row: Any, header: dict[str, Any]) -> Vote:
    """Returns the vote in a row under a header. Raises ValueError that says what is wrong with it."""
    if isinstance(row, str):
        row = parse(row)
    if not isinstance(row, dict):
        raise ValueError(f"not an object with {', '.join(COLUMNS)}")
    absent = [name for name in COLUMNS if row.get(name) in (None, "")]
    if absent:
        raise ValueError(f"no {', '.join(absent)}")
    if not str(row["prompt"]).strip():
        raise ValueError("the prompt is empty")
    numbers = {name: _whole_number(name, row[name]) for name in ("index", "seed", "i", "j")}
    winner = None if row["winner"] == "tie" else _whole_number("winner", row["winner"])
    if numbers["i"] == numbers["j"]:
        raise ValueError(f"i and j are both {numbers['i']}")
    if winner not in (None, numbers["i"], numbers["j"]):
        raise ValueError(f"the winner {winner} is neither i={numbers['i']} nor j={numbers['j']}, nor tie")
    return Vote(prompt=str(row["prompt"]), winner=winner, **numbers, **{**header, **_about_images(row)})


def _about_images(row: dict[str, Any]) -> dict[str, Any]:
    """Returns the optional columns that a row fills."""
    given = {name: row[name] for name in OPTIONAL if row.get(name) not in (None, "")}
    if "steps" in given:
        given["steps"] = _whole_number("steps", given["steps"])
    if "guidance_scale" in given:
        try:
            given["guidance_scale"] = float(given["guidance_scale"])
        except (TypeError, ValueError):
            raise ValueError(f"guidance_scale={given['guidance_scale']!r} is not a number") from None
    for name in ("sha256_i", "sha256_j"):
        if name in given and not re.fullmatch("[0-9a-f]{64}", str(given[name])):
            raise ValueError(f"{name}={given[name]!r} is not a sha256 of 64 digits")
    return given


def _whole_number(name: str, value: Any) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not text.isdecimal():
        raise ValueError(f"{name}={value!r} is not a whole number")
    return int(text)

"""Checks each field of a reward server's answer by protocol v1 (docs/http-rewards.md); others are not read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LONGEST = 200
"""Characters of a version, a unit, a licence or a name of a field."""
MOST_IMAGES = 4096
LARGEST = 3.4028234e38
"""Scores are kept as float32."""


class Nonsense(Exception):
    """An answer is not one of the protocol; the message says what is wrong with it."""


@dataclass(frozen=True)
class ServerInfo:
    """The answer to ``GET /v1/info``."""

    name: str
    version: str
    unit: str
    needs: tuple[str, ...]
    max_batch: int
    range: tuple[float, float]
    """The usual range of scores; infinite where the server states none."""
    licence: str
    reads_prompt: bool


def read_info(answer: Mapping[str, Any]) -> ServerInfo:
    """Returns what a server says of itself. Raises Nonsense, which names the field."""
    name = _text(answer, "name")
    if not NAME.fullmatch(name):
        raise Nonsense(f"name is {name!r:.80}, and not of letters, digits, dots, hyphens and underscores")
    needs = answer.get("needs")
    if not isinstance(needs, list) or not all(isinstance(n, str) and 0 < len(n) <= LONGEST for n in needs):
        raise Nonsense("needs is no list of names of fields")
    max_batch = answer.get("max_batch")
    if type(max_batch) is not int or not 1 <= max_batch <= MOST_IMAGES:
        raise Nonsense(f"max_batch is {max_batch!r:.80}, and no whole number from 1 to {MOST_IMAGES}")
    return ServerInfo(
        name,
        _text(answer, "version"),
        _text(answer, "unit", empty=True),
        tuple(dict.fromkeys(needs)),
        max_batch,
        _range(answer.get("range")),
        _text({"licence": "", **answer}, "licence", empty=True),
        _flag(answer, "reads_prompt", True),
    )


def is_higher_better(answer: Mapping[str, Any]) -> bool:
    """Returns whether a server says that higher scores are better. Raises Nonsense where it says neither."""
    return _flag(answer, "higher_is_better", None)


def read_scores(answer: Mapping[str, Any], count: int, fractions: bool = False) -> tuple[str, str | None, list[float]]:
    """Returns the version, the name (None where it is left out) and the scores of ``count`` images.

    Raises Nonsense, also for a score outside [0, 1] where they are ``fractions``: tables compute their intervals so.
    """
    name = _text(answer, "name") if "name" in answer else None
    scores = answer.get("scores")
    if not isinstance(scores, list):
        raise Nonsense("scores is no list")
    if len(scores) != count:
        raise Nonsense(f"it holds {len(scores)} scores for {count} images")
    numbers = [_number(score, f"score {row}") for row, score in enumerate(scores)]
    if fractions and not all(0 <= number <= 1 for number in numbers):
        raise Nonsense("a score is outside 0 to 1, though the unit says that they are fractions")
    return _text(answer, "version"), name, numbers


def _text(answer: Mapping[str, Any], field: str, empty: bool = False) -> str:
    text = answer.get(field)
    if not isinstance(text, str) or not (text.strip() or empty) or len(text) > LONGEST or not text.isprintable():
        raise Nonsense(f"{field} is {text!r:.80}, and no text of one line and at most {LONGEST} characters")
    return text


def _flag(answer: Mapping[str, Any], field: str, default: bool | None) -> bool:
    flag = answer.get(field, default)
    if not isinstance(flag, bool):
        raise Nonsense(f"{field} is {flag!r:.80}, neither true nor false")
    return flag


def _number(value: object, title: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:  # NaN fails, too
        raise Nonsense(f"{title} is {value!r:.80}, and no finite number of 32 bits")
    return float(value)


def _range(value: object) -> tuple[float, float]:
    if value is None:
        return -math.inf, math.inf
    if not isinstance(value, list) or len(value) != 2:
        raise Nonsense(f"range is {value!r:.80}, and no pair [low, high]")
    low, high = _number(value[0], "the low end of range"), _number(value[1], "the high end of range")
    if low >= high:
        raise Nonsense(f"range is [{low:g}, {high:g}], which is empty")
    return low, high

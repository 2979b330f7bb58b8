"""Messages on wrong settings, which name the value and the nearest setting."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

LARGEST = 2**31 - 1
"""The largest whole number of a setting: counts and sizes beyond it overflow in some library."""


def wrong_numbers(prefix: str, given: Mapping[str, Any], settings: BaseModel) -> list[str]:
    """Returns a message for each number that was given as yes or no, and for each too large for a computation."""
    errors = []
    for name, value in given.items():
        read = getattr(settings, name)
        if isinstance(value, bool) and isinstance(read, int | float) and not isinstance(read, bool):
            errors.append(f"{prefix}{name}={value}: input should be a number, not yes or no")
        elif any(isinstance(n, int) and abs(n) > LARGEST for n in (read if isinstance(read, tuple) else [read])):
            errors.append(f"{prefix}{name}={short(value)}: input should be at most {LARGEST}")
    return errors


def short(value: Any) -> str:
    """Returns a value as it is written in Python, cut where it is long: YAML can write a huge value in a few words."""
    shorten = reprlib.Repr()
    shorten.maxlist = shorten.maxtuple = 20
    shorten.maxstring = shorten.maxother = shorten.maxlong = 120
    return shorten.repr(value)


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns ``, did you mean ...?`` with the nearest known name, or all of them where none is near."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f", did you mean {matches[0]!r}?" if matches else f"; known: {', '.join(known)}"


def explain(section: str, section_class: type[BaseModel], item: Any) -> str:
    """Returns a message for an error of pydantic in a section of the settings."""
    name = str(item["loc"][0]) if item["loc"] else ""
    if item["type"] == "extra_forbidden":
        fields = section_class.model_fields
        return no_such_setting(f"{section}.{name}", {key: field.description or "" for key, field in fields.items()})
    return f"{section}.{name}={short(item['input'])}: {item['msg'][0].lower()}{item['msg'][1:]}"


def no_such_setting(key: str, known: Mapping[str, str]) -> str:
    """Returns a message for a key that is no setting; ``known`` has the descriptions of those there are, by name.

    It names the setting that the key describes, as lr for train.learning_rate; else the nearest one.
    """
    name = key.rpartition(".")[2]
    words = name.replace("_", " ").lower()
    as_words = re.compile(rf"\b{re.escape(words)}\b")
    described = [setting for setting, description in known.items() if as_words.search(description.lower())]
    meant = f", did you mean {described[0]!r}?" if len(described) == 1 else nearest(name, known)
    return f"{key}: no such setting{meant}"

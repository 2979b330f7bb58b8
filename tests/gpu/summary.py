"""The table of an acceptance run, as Markdown: a line a step, then what each step found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SHOWN = ("device", "driver", "memory_mib", "cuda", "commit", "changed", "sources", "command")


def lines(record: Path) -> list[dict[str, Any]]:
    """The lines of a record; of a step that was repeated the last one, in the order of the steps' numbers."""
    latest: dict[str, dict[str, Any]] = {}
    for text in record.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        latest[line["step"]] = line
    return sorted(latest.values(), key=lambda line: line["number"])


def page(found: Sequence[Mapping[str, Any]]) -> str:
    """The whole summary."""
    ran = found[-1]["about"] if found else {}
    made = ", ".join(f"{key} {ran[key]}" for key in SHOWN if ran.get(key) is not None)
    torch = ran.get("packages", {}).get("torch", "unknown")
    head = ["# Acceptance run", "", f"{made}; torch {torch}. Random weights, so images and scores mean nothing.", ""]
    table = ["| step | what | status | seconds (limit) | what is wrong |", "|---|---|---|---:|---|"]
    table += [
        f"| {line['number']} {line['step']} | {line['title']} | {line['status']} "
        f"| {line['seconds']:g} ({line['limit']:g}) | {_cell('; '.join(wrong(line)))} |"
        for line in found
    ]
    sections = [text for line in found for text in _section(line)]
    return "\n".join([*head, *table, *sections, ""])


def wrong(line: Mapping[str, Any]) -> list[str]:
    """Says where the step was cut, how it ended, and each part's error or failed checks."""
    said = [line[key] for key in ("cut", "error") if key in line]
    for name, part in line["parts"].items():
        said += [f"{name}: {check}" for check in part.get("failed", [])]
        if "error" in part:
            said.append(f"{name}: {part['error']}")
    return said


def _section(line: Mapping[str, Any]) -> list[str]:
    """A step's parts, a row each."""
    if not line["parts"]:
        return []
    rows = [f"| {name} | {_cell(_numbers(part))} |" for name, part in line["parts"].items()]
    return ["", f"## {line['number']} {line['step']}", "", "| part | found |", "|---|---|", *rows]


def _numbers(part: Mapping[str, Any]) -> str:
    hidden = {"error", "failed"}
    return ", ".join(f"{key} {_value(value)}" for key, value in part.items() if key not in hidden)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{key} {_value(item)}" for key, item in value.items()) + ")"
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")

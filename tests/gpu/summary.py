"""Writes the summary of an acceptance run as Markdown: a line a step, then each step's results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SHOWN = ("device", "driver", "memory_mib", "cuda", "commit", "changed", "sources", "command")


def lines(record: Path) -> list[dict[str, Any]]:
    """Returns a record's lines in the order of the steps' numbers; only the last line of a step that was repeated."""
    latest: dict[str, dict[str, Any]] = {}
    for text in record.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        latest[line["step"]] = line
    return sorted(latest.values(), key=lambda line: line["number"])


def page(record_lines: Sequence[Mapping[str, Any]]) -> str:
    """Returns the summary."""
    about = record_lines[-1]["about"] if record_lines else {}
    origin = ", ".join(f"{key} {about[key]}" for key in SHOWN if about.get(key) is not None)
    torch = about.get("packages", {}).get("torch", "unknown")
    head = ["# Acceptance run", "", f"{origin}; torch {torch}. Random weights, so images and scores mean nothing.", ""]
    table = ["| step | what | status | seconds (limit) | what is wrong |", "|---|---|---|---:|---|"]
    table += [
        f"| {line['number']} {line['step']} | {line['title']} | {line['status']} "
        f"| {line['seconds']:g} ({line['limit']:g}) | {_cell('; '.join(wrong(line)))} |"
        for line in record_lines
    ]
    sections = [text for line in record_lines for text in _section(line)]
    return "\n".join([*head, *table, *sections, ""])


def wrong(line: Mapping[str, Any]) -> list[str]:
    """Returns where the step was cut, how it ended, and each part's error and failed checks."""
    problems = [line[key] for key in ("cut", "error") if key in line]
    for name, part in line["parts"].items():
        problems += [f"{name}: {check}" for check in part.get("failed", [])]
        if "error" in part:
            problems.append(f"{name}: {part['error']}")
    return problems


def _section(line: Mapping[str, Any]) -> list[str]:
    """Returns the lines of a step's section, with a row for each part."""
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

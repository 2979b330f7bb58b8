"""Every part of the benchmark runs at the smallest size; its numbers are not tested."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from tests.bench.parts import cells, generation, growth, memory, repeat, scoring, training, unet
from tests.bench.setting import Setting
from tests.bench.speed import PARTS

SMALL: dict[ModuleType, dict[str, object]] = {
    generation: {"IMAGES": {"cpu": 4}},
    scoring: {"IMAGES": {"cpu": 8}},
    training: {"BATCH": {"cpu": 2}, "METHODS": {"cpu": ("tailorpo",)}},
    unet: {"IMAGES": {"cpu": 2}, "TIMES": {"cpu": 1}},
    memory: {
        "CASES": {"ours": "ours 2 2 2", "theirs": "plain 2 2"},
        "BATCHES": {},
        "GROWTH": {"2 prompts": "evaluate 2", "9 prompts": "evaluate 9"},
    },
    growth: {"IMAGES": {"cpu": 4}},
    repeat: {"PROMPTS": {"cpu": 2}, "IMAGES": {"cpu": 1}},
    cells: {"SAMPLES": 16, "SAMPLES_APART": 4},
}


LONGEST = ("cells", "memory", "growth", "score", "generate", "unet")  # a minute each and more


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long) if name in LONGEST else name for name in PARTS]
)
def test_a_part_gives_rows(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = import_module(f"tests.bench.parts.{PARTS[name]}")
    for constant, value in SMALL[part].items():
        monkeypatch.setattr(part, constant, value)
    rows = part.measure(Setting("shapes", "cpu", 1, tmp_path, "shapes"))
    assert rows and all(row.part == name and row.values and row.unit for row in rows)
    assert all(value > 0 for row in rows for value in row.values if row.unit in {"s", "x", "MB"})
    barred = {"generate": 3, "score": 2, "train": 1, "unet": 2, "memory": 1, "growth": 0, "repeat": 1, "cells": 2}
    assert sum(row.met is not None for row in rows) == barred[name]

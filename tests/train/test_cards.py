"""Estimates of what a plan takes on a GPU that is not here."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbench import config
from benchbench.errors import UsageError
from benchbench.reproduce import card_estimate, spec
from benchbench.reproduce.plan import make_plan
from benchbench.train.cards import CARDS, GIB, find, generating_hours, needs_dry_run, training_hours
from benchbench.train.memory_plan import MemoryPlan
from tests.cli.conftest import Bench, bench  # noqa: F401  # the fixture


def configured(method: str, model: str = "sd15", *overrides: str) -> config.RunConfig:
    return config.load(method, model, "jpeg_compressibility", "animals", 1000, 0, overrides=overrides)


def test_hours_are_operations_by_a_share_of_the_nominal_speed() -> None:
    """1000 evaluations of 1.61e12 operations at .12 of 312e12 a second; DDPO runs in fp32, at .18 of 19.5e12."""
    a100 = find("a100-40")
    assert training_hours(configured("tailorpo"), 1000, a100) == pytest.approx(1000 * 1.61 / (0.12 * 312) / 3600)
    assert training_hours(configured("ddpo"), 1000, a100) == pytest.approx(1000 * 1.61 / (0.18 * 19.5) / 3600)
    half = configured("ddpo", "sd15", "train.dtype=fp16")
    assert training_hours(half, 1000, a100) == training_hours(configured("tailorpo"), 1000, a100)
    assert generating_hours("sdxl", 1000, a100) == pytest.approx(1000 * 13.5 / (0.26 * 312) / 3600)
    assert generating_hours("sd35m", 1000, a100) == pytest.approx(1000 * 22.5 / (0.26 * 312) / 3600)
    assert generating_hours("shapes", 1000, a100) == 0


def test_the_record_of_the_h200_is_what_the_shares_say() -> None:
    """It generated 7.39 pictures a second, each of 34.6e12 operations with its decoding; the share is .26."""
    assert 7.386 * 34.6 / CARDS["h200"].half_tflops == pytest.approx(0.26, abs=0.005)


def test_a_plan_is_told_in_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hours, the memory of each row, the disk of 1.7 bytes a pixel, and of trainings with and without an adapter."""
    planned = MemoryPlan(1, gradient_checkpointing=True, peak_bytes=int(50 * GIB), fits=False)
    monkeypatch.setattr(card_estimate, "plans_in_child", lambda *_: [planned])
    table = spec.load("dspo:6")
    plan = make_plan(table, "sd15", spec.track_of(table, "sd15"), tmp_path, rows=["dspo", "dspo-lora"])
    lines = list(card_estimate.card_lines(plan, find("a100-40")))
    assert lines[0].startswith("on one a100-40: about ")
    assert "memory of dspo: 50.0 of 39.4 GiB, which does not fit" in lines
    images = sum(m.images for m in plan.measurements)
    assert f"disk: about {images * 512**2 * 1.7 / 1e9:.1f} GB for {images} pictures" in lines
    # 859,520,964 weights: 4 bytes each, and two checkpoints with three times as much
    assert {"disk: 24 GB for each of 1 training", "disk: under 0.3 GB for each of 1 training"} <= set(lines)


def test_a_card_is_for_estimates(bench: Bench, tmp_path: Path) -> None:  # noqa: F811
    with pytest.raises(UsageError, match="add --dry-run"):
        needs_dry_run("h100", False)
    ran = bench("reproduce", "tailorpo:2", "--card", "h1000", "--dry-run", "--store", tmp_path)
    assert ran.code == 2 and "a100-40" in ran.err
    ran = bench("train", "--method", "ddpo", "--model", "shapes", "--card", "h100", "--store", tmp_path)
    assert ran.code == 2 and "add --dry-run" in ran.err

"""Memory plans: the rule on invented lines, estimates on small models, and on the real sizes (slow)."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchbench.config import RunConfig, load
from benchbench.train import memory_estimate, memory_plan
from benchbench.train.cost_estimate import sizes
from benchbench.train.memory_estimate import Estimate, Line
from benchbench.train.memory_plan import GIB, MemoryPlan, plan, plans, reserve
from tests.tiny_sd3 import write_tiny_sd3

OFFLINE = ("diffusion-dpo", "dspo", "sft", "diffusion-kto", "mapo")
METHODS = ("ddpo", "d3po", "tailorpo", "tailorpo-g", "spo", "diffusion-nft", *OFFLINE)


def configured(method: str, model: str, reward: str = "aesthetic", *words: str) -> RunConfig:
    pairs = "pickapic_v2" if method in OFFLINE else None
    return load(method, model, reward, "animals", 10_000, 0, None, words, pairs)


def fitted(lines: dict[tuple[str, bool], Line], budget: int, method: str = "d3po", *words: str) -> MemoryPlan:
    """Returns the plan for a batch of 20 rows, 40 samples denoised, 16 images decoded and 2 guided at a time."""
    most = {"train": 16, "denoise": 40, "score": 16, "guide": 2}
    stub: Any = SimpleNamespace(rows=20, update=105, most=most.__getitem__, line=lambda part, on=False: lines[part, on])
    return memory_plan._fit(configured(method, "sd15", "aesthetic", *words), stub, budget)


LINES = {
    ("train", False): Line(100, 40),
    ("train", True): Line(100, 5),
    ("denoise", False): Line(100, 2),
    ("score", False): Line(100, 3),
    ("guide", False): Line(100, 90),
    ("guide", True): Line(100, 30),
}


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (740, MemoryPlan(16, False, None, 40, 16, 740)),  # 100 + 16 x 40
        (739, MemoryPlan(8, False, None, 40, 16, 420)),
        (180, MemoryPlan(2, False, None, 40, 16, 180)),  # two rows without checkpointing, and not sixteen with it
        (179, MemoryPlan(8, True, None, 20, 16, 148)),  # with checkpointing 16 rows take 180
        (104, MemoryPlan(1, True, None, 2, 1, 105, fits=False)),
    ],
)
def test_the_rule(budget: int, expected: MemoryPlan) -> None:
    assert fitted(LINES, budget) == expected


def test_guidance_is_cut_by_samples_and_checkpointed_where_one_does_not_fit() -> None:
    assert fitted(LINES, 739, "tailorpo-g").guidance_rows == 2
    assert fitted(LINES, 200, "tailorpo-g").guidance_rows == 1
    checkpointed = fitted(LINES, 185, "tailorpo-g")  # one guided sample takes 190 without checkpointing, 130 with it
    assert (checkpointed.gradient_checkpointing, checkpointed.guidance_rows) == (True, 2)


def test_on_a_cpu_nothing_is_cut() -> None:
    run = configured("tailorpo", "no/such-model-here", "aesthetic", "train.micro_batch=7")
    assert plan(run, None) == MemoryPlan(7, False)


def test_what_is_left_free() -> None:
    assert reserve(24 * GIB) == 2.25 * GIB
    assert reserve(100 * GIB) == 7 * GIB


@pytest.mark.parametrize("method", ["d3po", "diffusion-dpo"])
def test_memory_is_a_straight_line_in_the_rows(method: str, tiny_sd: Path) -> None:
    """A third number of rows, measured directly between the two of the line, lies on the line within 2 %."""
    run = configured(method, str(tiny_sd), "jpeg_compressibility", "train.micro_batch=16")
    with Estimate(run, "bf16") as estimate:
        line, fake = estimate.line("train"), estimate._open()
        assert line.at(6) == pytest.approx(fake.base + fake.train(6), rel=0.02)
        assert line.row > 0


@pytest.mark.parametrize("method", ["ddpo", "d3po", "tailorpo-g", "diffusion-kto"])
def test_more_memory_is_never_a_smaller_plan(method: str, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_plan, "reserve", lambda total: 0)
    run = configured(method, str(tiny_sd), "jpeg_compressibility", "train.batch=8")
    most = plan(run, GIB)
    assert most.fits and not most.gradient_checkpointing and most.micro_batch == run.train.micro_batch
    assert most.peak_bytes is not None and (most.guidance_rows is not None) == (method == "tailorpo-g")
    smaller_plans = plans(run, [most.peak_bytes * percent // 100 for percent in (100, 90, 80, 70, 60, 50, 40, 30)])
    order = [(p.fits, not p.gradient_checkpointing, p.micro_batch, p.walk_rows, p.decode_rows) for p in smaller_plans]
    assert order[0][:3] == (True, True, run.train.micro_batch)
    assert [o[:3] for o in order] == sorted((o[:3] for o in order), reverse=True)
    assert json.loads(json.dumps(asdict(smaller_plans[0]))) == asdict(smaller_plans[0])


def test_t5_is_counted_while_prompts_are_read_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wide T5 takes more memory than the optimizer step while it reads, and none between two steps."""
    folder = write_tiny_sd3(tmp_path / "sd3")
    config = folder / "text_encoder_3" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"d_ff": 2**16}))
    t5_bytes = 2 * 32 * 2**16 * 2  # two matrices in half precision; all else together is far smaller
    run = configured(
        "ddpo", str(folder), "jpeg_compressibility", "train.batch=2", "sampler.steps=2", "method.steps=all"
    )
    with Estimate(run, "bf16") as estimate:
        assert estimate.counts.base == 0
        update, fake = estimate.update, estimate._open()
        assert fake.backbone.text_encoder_3.device.type == "cpu" and fake.base < t5_bytes < update - fake.base
        assert estimate.line("denoise").at(1) < t5_bytes


def test_counting_again_takes_no_time(tiny_sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = configured("ddpo", str(tiny_sd), "jpeg_compressibility", "train.batch=6")
    first = plan(run, GIB)
    monkeypatch.setattr(memory_estimate.Estimate, "_open", None)
    assert plan(run, GIB) == first


def test_what_a_rollout_asks_for() -> None:
    """SPO denoises and scores four candidates of each of its 40 samples at once; its batches have 40 pairs."""
    result = sizes(configured("spo", "sd15", "spm"))
    assert (len(result.batch), result.denoised, result.scored) == (40, 160, 160)


@pytest.mark.long
def test_the_defaults_of_every_method_fit_24_gb_on_sd15() -> None:
    for method in METHODS:
        result = plan(configured(method, "sd15", "spm" if method == "spo" else "aesthetic"), 24 * GIB)
        assert result.fits and result.peak_bytes is not None and result.peak_bytes < 22 * GIB, (method, result)


@pytest.mark.long
@pytest.mark.parametrize("method", METHODS)
def test_sd35m_fits_24_gb_by_checkpointing(method: str) -> None:
    """An adapter in bf16 fits, with T5 on the card only while prompts are read."""
    result = plan(configured(method, "sd35m"), 24 * GIB, "bf16")
    assert result.fits and result.gradient_checkpointing, result


@pytest.mark.long
@pytest.mark.parametrize("method", ["tailorpo", "tailorpo-g"])
def test_sdxl_fits_24_and_80_gb(method: str) -> None:
    small, large = plans(configured(method, "sdxl"), [24 * GIB, 80 * GIB])
    assert small.fits and large.fits
    assert small.gradient_checkpointing

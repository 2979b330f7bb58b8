"""The counted cost of a setting equals the counts that methods.md derives."""

from __future__ import annotations

from dataclasses import astuple

import pytest
import torch
from diffusers import DDIMScheduler

from benchbench.config import load
from benchbench.train import cost_estimate
from benchbench.train.cost_estimate import RolloutCost, fixed_evaluations, rollout_cost


@pytest.mark.parametrize(
    ("method", "preset", "words", "expected"),
    [
        # 20 images with one optimizer step each; 20 evaluations and 20 with gradient an image
        ("ddpo", "released", [], RolloutCost(20, 20, 20, 20, 20, 1, 64)),
        # 20 pairs; an image's 20 steps are evaluated in the rollout and by the reference, and once with gradient
        ("d3po", "released", ["train.batch=40"], RolloutCost(40, 20, 20, 40, 20, 1, 84)),
        # 20 steps + 2 x 5 look-aheads - 5 reused + 5 of the reference = 30, 5 with gradient, 10 rewards
        ("tailorpo", "released", [], RolloutCost(2, 1, 10, 30, 5, 10, 41)),
        # inside the rollout nothing is reused: 35 evaluations, 5 optimizer steps of 2 pairs
        ("tailorpo", "paper", [], RolloutCost(2, 5, 2, 35, 5, 10, 46)),
        # guided: the 5 look-aheads are not reused either, 5 gradients and 5 rewards more
        ("tailorpo-g", "released", [], RolloutCost(2, 1, 10, 35, 10, 15, 57)),
        # 65 evaluations + 16 of the reference, 16 with gradient, 64 decodes; 40 x 16 pairs in minibatches of 40
        ("spo", "released", [], RolloutCost(40, 16, 40, 81, 16, 64, 116.2)),
        # without guidance a half each: 20 steps, and 19 times with gradient, by the old policy and by the reference
        ("diffusion-nft", "released", [], RolloutCost(48, 1, 912, 29, 9.5, 1, 49.9)),
        # 2048 pairs in one step; an image is seen once by policy and reference, without guidance: a half each
        ("diffusion-dpo", "released", [], RolloutCost(4096, 1, 2048, 0.5, 0.5, 0, 2.035)),
        ("dspo", "released-sdxl", [], RolloutCost(4096, 1, 2048, 0.5, 0.5, 0, 2.035)),
        ("sft", "released", [], RolloutCost(2048, 1, 2048, 0, 0.5, 0, 1.535)),
        # KTO looks at the batch beforehand, with policy and reference, for its reference point
        ("diffusion-kto", "released", [], RolloutCost(8, 1, 8, 1, 0.5, 0, 2.535)),
        ("mapo", "released", [], RolloutCost(32, 1, 16, 0, 0.5, 0, 1.535)),
    ],
)
def test_rollout_cost(method: str, preset: str, words: list[str], expected: RolloutCost) -> None:
    """The last number adds 2.2 to the evaluations for each gradient of an adapter, and 3.07 for one of all weights."""
    config = load(method, "shapes", "shapes-colour", "shapes-simple", 400, 0, preset, words)
    assert astuple(rollout_cost(config)) == pytest.approx(astuple(expected))


@pytest.mark.parametrize(
    ("method", "words", "looks"),
    [
        ("tailorpo", ["train.eval_every=0"], 0),
        ("tailorpo", ["train.eval_every=96"], 6),  # at 0, 96, 192, 288, 384 and 400
        ("tailorpo", ["train.eval_every=100"], 5),  # at 400 once
        ("tailorpo", ["train.eval_every=1000"], 2),
        ("tailorpo", ["train.eval_every=96", "train.batch=150"], 4),  # at 0 and where rollouts end: 150, 300, 400
        ("tailorpo", ["train.eval_steps=60"], 5),  # 200 steps: at 0, 60, 120, 180 and 200
        ("tailorpo", ["train.eval_every=0", "train.eval_steps=60"], 0),
        ("ddpo", ["train.eval_steps=60"], 8),  # 20 rollouts of 20 steps, 400: at 0, 60, 120, ..., 360 and 400
        ("ddpo", ["train.eval_steps=15"], 21),  # every rollout passes one
    ],
)
def test_fixed_evaluations(method: str, words: list[str], looks: int) -> None:
    """A run of 400 samples evaluates 45 images of 20 steps each time.

    A released rollout of TailorPO has 2 samples and 1 optimizer step, DDPO's 20 samples and 20 steps.
    """
    config = load(method, "shapes", "shapes-colour", "shapes-simple", 400, 0, "released", words)
    assert fixed_evaluations(config, rollout_cost(config)) == looks * 45 * 20


def test_its_noise_schedule_is_that_of_diffusers() -> None:
    """The estimate is computed without diffusers, which takes seconds to import."""
    theirs = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear").alphas_cumprod
    assert torch.equal(cost_estimate._alphas_cumprod(), theirs)

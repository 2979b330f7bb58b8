"""DDPO computes old log-probs again in the update's batch shape where other shapes round differently."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchbench.api import Transitions
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.policy import Policy
from benchbench.methods.ddpo import DDPO, DDPOConfig
from benchbench.noise import Noise, Sample
from tests.methods.rewards import Brightness

SAMPLES = [Sample("cat", i) for i in range(4)]
NOISE = Noise(0, "train")
SETTINGS: dict[str, Any] = {"steps": (20, 12, 2), "minibatch": 2, "inner_epochs": 2}


def rounding_by_shape(policy: Policy, size: float) -> None:
    """Imitates a GPU, where a forward of n rows has a rounding error that depends on n."""
    plain = policy._network

    def network(x: torch.Tensor, tau: torch.Tensor, cond: Any) -> torch.Tensor:
        return plain(x, tau, cond) + size * len(x)

    policy._network = network  # type: ignore[method-assign]


def collect(policy: Policy, method: DDPO, cfg: DDPOConfig) -> list[Transitions]:
    reward = StepReward(Decoder(policy.backbone), Brightness(), policy)
    with torch.no_grad():
        return [batch for batch, _ in method.collect(policy, SAMPLES, reward, cfg, NOISE)]


def largest_log_ratio(policy: Policy, batch: Transitions, cfg: DDPOConfig) -> float:
    """Returns the largest log-ratio of an update in parts of ``rows_at_once`` rows, before any optimizer step."""
    assert policy.rows_at_once
    ratios = []
    for i in range(0, len(batch), policy.rows_at_once):
        rows = batch[i : i + policy.rows_at_once]
        ratios.append(float(DDPO().loss(policy, rows, cfg, NOISE)[1]["log_ratio_abs"]))
    return max(ratios)


def test_ratios_are_one_where_shapes_round_otherwise(tuned: Policy) -> None:
    """An update of six rows, four at a time, has shapes of four and of two rows; the rollout had four samples."""
    cfg, method = DDPOConfig(**SETTINGS), DDPO()
    tuned.rows_at_once = 4
    rounding_by_shape(tuned, 1e-4)
    batches = collect(tuned, method, cfg)
    assert method.recomputes is True and len(batches) == 4
    # the rollout's log-probs are of four rows as well, so they differ only for the update's part of two rows
    assert all(largest_log_ratio(tuned, batch, cfg) < 1e-6 for batch in batches)
    method.recomputes = False
    stored = collect(tuned, method, cfg)
    assert max(largest_log_ratio(tuned, batch, cfg) for batch in stored) > cfg.clip / 10  # type: ignore[operator]


def test_only_log_probs_change(tuned: Policy) -> None:
    cfg, restating = DDPOConfig(**SETTINGS), DDPO()
    tuned.rows_at_once, restating.recomputes = 3, True
    restated, stored = collect(tuned, restating, cfg), collect(tuned, DDPO(), cfg)
    for a, b in zip(restated, stored, strict=True):
        assert torch.equal(a.x, b.x) and torch.equal(a.k, b.k) and torch.equal(a.advantage, b.advantage)
        torch.testing.assert_close(a.log_prob, b.log_prob, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("clip", "restates"), [(1e-4, False), (None, False)])
def test_on_a_cpu_in_float32_nothing_is_computed_again(tuned: Policy, clip: float | None, restates: bool) -> None:
    """Rounding is far below a tenth of the clip, and without a clip it does not matter. No cost is added."""
    tuned.rows_at_once, method = 4, DDPO()
    before = tuned.cost.unet_evals
    batches = collect(tuned, method, DDPOConfig(**SETTINGS, clip=clip))
    assert method.recomputes is restates and tuned.cost.unet_evals - before == 4 * 20
    recomputed = tuned.step(batches[0].x, batches[0].k, batches[0].cond).log_prob(batches[0].x_next)
    torch.testing.assert_close(batches[0].log_prob, recomputed.detach(), atol=1e-5, rtol=0)


def test_the_decision_is_kept_and_resumed(tuned: Policy) -> None:
    """The decision is made in a run's first rollout; all evaluations that it causes are counted."""
    cfg, method = DDPOConfig(**SETTINGS), DDPO()
    tuned.rows_at_once, method.recomputes = 4, True
    resumed = DDPO()
    resumed.load_state(method.state())
    before = tuned.cost.unet_evals
    collect(tuned, resumed, cfg)
    rows = 3 * 4 * 2  # trained steps, samples, passes
    assert resumed.recomputes is True and tuned.cost.unet_evals - before == 4 * 20 + rows

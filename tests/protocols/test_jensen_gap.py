"""The Jensen gap on a linear-Gaussian model, where it is known, and what is refused."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from torch import Tensor

from benchbench.errors import UsageError
from benchbench.protocols.jensen_gap import JensenGap, JensenSettings
from tests.protocols.toy import MEAN, SAMPLES, SD, alphas, probe

SETTINGS = JensenSettings(states=6, steps=(4, 3, 1), completions=300, kind="absolute")


def mean(x: Tensor) -> Tensor:
    return x.flatten(1).mean(1)


def square(x: Tensor) -> Tensor:
    return x.square().flatten(1).mean(1)


def variance(k: int) -> float:
    """Var(x_0 | x_k) of the chain, by the recursion V <- sum_j sigma_j² prod_{i<j} A_i² of its linear steps.

    A_j is the slope of the DDPM posterior mean with x̂0 = E[x0|x]: with b = 1 - a/p, p = abar_{j-1},
    mu = sqrt(p) b/(1-a) x̂0 + sqrt(a/p) (1-p)/(1-a) x and sigma² = (1-p)/(1-a) b.
    """
    total, slope = 0.0, 1.0
    for j in range(1, k + 1):
        a, p = float(alphas()[j]), float(alphas()[j - 1])
        b = 1 - a / p
        total += (1 - p) / (1 - a) * b * slope**2
        to_x0 = SD**2 * a**0.5 / (SD**2 * a + 1 - a)
        slope *= p**0.5 * b / (1 - a) * to_x0 + (a / p) ** 0.5 * (1 - p) / (1 - a)
    return total


def test_a_linear_reward_has_no_gap_and_a_quadratic_one_the_variance() -> None:
    """E[x_0|x_k] = x̂0(x_k), so r linear: R - r = 0. r = mean x²: R - r = Var(x_0|x_k), and r - R is its negative."""
    for reward, expected in ((mean, lambda k: 0.0), (square, lambda k: -variance(k))):
        protocol = JensenGap()
        rows = protocol.derive(protocol.measure_states(probe(reward), SAMPLES, SETTINGS), SETTINGS)
        for k, part in rows.groupby("k"):
            error = (part.truth_se**2).sum() ** 0.5 / len(part)
            assert abs(part.signed.mean() - expected(int(k))) < 4 * error + 1e-5, (reward, k)
    assert variance(4) > 0.05 > 1e-6 > variance(1)  # the quadratic gap is nothing that 4 standard errors could hide


def test_the_monte_carlo_error_is_what_independent_completions_give() -> None:
    """Two halves of the completions differ by sqrt(2) * sqrt(2) * truth_se = 2 truth_se (standard deviations)."""
    protocol, half = JensenGap(), JensenSettings(states=6, steps=(4,), completions=150, kind="absolute")
    whole = protocol.measure_states(probe(mean), SAMPLES, SETTINGS.model_copy(update={"steps": (4,)}))
    first = protocol.measure_states(probe(mean), SAMPLES, half)
    second = 2 * whole.truth - first.truth  # 300 completions are the first 150 and 150 more
    z = (first.truth - second) / (2 * whole.truth_se)
    assert 0.3 < z.std() < 2
    assert (first.truth_se / whole.truth_se).mean() == pytest.approx(2**0.5, rel=0.1)


def test_the_relative_error_is_over_the_truth() -> None:
    """|3 - 4| / |4| = 0.25, signed (3 - 4)/4 = -0.25, Monte Carlo 0.2/4 = 0.05; absolute 1, -1, 0.2."""
    rows = pd.DataFrame({"predicted": [3.0], "truth": [4.0], "truth_se": [0.2]})
    relative = JensenGap().derive(rows, JensenSettings())
    assert relative[["error", "signed", "monte_carlo"]].iloc[0].tolist() == pytest.approx([0.25, -0.25, 0.05])
    absolute = JensenGap().derive(rows, JensenSettings(kind="absolute"))
    assert absolute[["error", "signed", "monte_carlo"]].iloc[0].tolist() == pytest.approx([1.0, -1.0, 0.2])
    negative = JensenGap().derive(-rows, JensenSettings())
    assert negative.error.tolist() == pytest.approx([0.25])


def test_truths_of_both_signs_have_no_relative_error() -> None:
    rows = pd.DataFrame({"predicted": [1.0, 1.0], "truth": [0.1, -0.1], "truth_se": [0.1, 0.1]})
    with pytest.raises(UsageError) as caught:
        JensenGap().derive(rows, JensenSettings())
    assert "crosses 0" in caught.value.cause and "absolute" in caught.value.remedy
    assert len(JensenGap().derive(rows, JensenSettings(kind="absolute"))) == 2


def test_batches_change_nothing() -> None:
    """Completions of 7 rows at a time and of 64 are the same numbers to rounding."""
    few = JensenSettings(states=6, steps=(3,), completions=5, kind="absolute")
    at_7 = JensenGap().measure_states(probe(mean, batch_size=7), SAMPLES, few)
    at_64 = JensenGap().measure_states(probe(mean), SAMPLES, few)
    pd.testing.assert_frame_equal(at_7, at_64, rtol=1e-5, atol=1e-6)
    alone = JensenGap().measure_states(probe(mean), SAMPLES[2:3], few)
    pd.testing.assert_frame_equal(alone, at_64[2:3].reset_index(drop=True), rtol=1e-5, atol=1e-6)


def test_the_price_is_what_is_computed() -> None:
    """Walks to step 1 of 4: 4 evaluations a state; 300 completions from 4, 3, 1: 300 * (3 + 2 + 0)."""
    probed = probe(mean)
    with torch.no_grad():
        JensenGap().measure_states(probed, SAMPLES, SETTINGS)
    price = JensenGap().cost(SETTINGS, 4)
    assert price.unet_evals == 6 * (4 + 300 * 5) == probed.policy.cost.plain_evals
    assert price.reward_calls == 6 * 3 * 301 == probed.step_reward.calls  # type: ignore[attr-defined]


def test_the_toy_is_the_model_that_it_says() -> None:
    """At abar = 0.3, x = 1: E[x0|x] = .7 + .25 * .5477 (1 - .5477 * .7)/(.25 * .3 + .7) = .8090."""
    step = probe(mean).policy.step(torch.ones(1, 1, 2, 2), 3, probe(mean).policy.encode([""]))
    assert step.x0.flatten().tolist() == pytest.approx([MEAN + 0.25 * 0.3**0.5 * (1 - 0.3**0.5 * 0.7) / 0.775] * 4)

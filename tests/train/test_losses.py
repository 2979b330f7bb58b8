"""The online losses equal values computed by hand (methods.md D1, D2, P1-P5, T1, T4)."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchbench.losses import pair_dpo, ppo_clip

ONE = torch.ones(1, dtype=torch.float64)
numbers = st.floats(-0.5, 0.5, allow_nan=False)


def value(x: float, grad: bool = False) -> torch.Tensor:
    return torch.tensor([x], dtype=torch.float64, requires_grad=grad)


def test_ppo_at_ratio_one() -> None:
    """D1: at rho = 1 the loss is -A, and so is its gradient by log p; A = (2, -3) gives (-2, 3)."""
    log_ratio = torch.zeros(2, requires_grad=True)
    loss = ppo_clip(log_ratio, torch.tensor([2.0, -3.0]), 1e-4)
    assert loss.tolist() == [-2.0, 3.0]
    loss.sum().backward()
    assert log_ratio.grad is not None and log_ratio.grad.tolist() == [-2.0, 3.0]


@pytest.mark.parametrize(
    ("log_ratio", "advantage", "gradient"),
    [(0.01, 1.0, False), (-0.01, -1.0, False), (-0.01, 1.0, True), (0.01, -1.0, True)],
)
def test_ppo_clips_only_what_went_far_the_right_way(log_ratio: float, advantage: float, gradient: bool) -> None:
    """D2: A > 0 with rho > 1+c, or A < 0 with rho < 1-c, has no gradient; the opposite sides keep -A rho."""
    x = value(log_ratio, grad=True)
    ppo_clip(x, value(advantage), 1e-4).sum().backward()
    assert x.grad is not None
    assert float(x.grad) == pytest.approx(-advantage * math.exp(log_ratio) if gradient else 0.0)


def test_ppo_without_clip_is_the_importance_weighted_gradient() -> None:
    """The loss -A rho with A = 2, log rho = 0.5 is -2 e^0.5 = -3.297443, and so is its gradient by log rho."""
    x = value(0.5, grad=True)
    loss = ppo_clip(x, value(2.0), None)
    loss.sum().backward()
    assert float(loss.detach()) == pytest.approx(-3.297443, abs=1e-6)
    assert x.grad is not None and float(x.grad) == pytest.approx(-3.297443, abs=1e-6)


def test_pair_at_the_reference_is_log_two() -> None:
    """P1, T1: equal log-ratios give log 2, with gradient ∓beta/2 = ∓0.05."""
    w, low = value(0.0, True), value(0.0, True)
    loss = pair_dpo(w, low, 0.1, 0.1, ONE)
    assert float(loss.detach()) == pytest.approx(math.log(2))
    loss.sum().backward()
    assert w.grad is not None and low.grad is not None
    assert (float(w.grad), float(low.grad)) == pytest.approx((-0.05, 0.05))


def test_pair_by_hand() -> None:
    """With log rho_w = 0.05, log rho_l = -0.03, beta = 10: z = 0.8, loss = log(1 + e^-0.8) = 0.371101."""
    assert float(pair_dpo(value(0.05), value(-0.03), 10, 0.1, ONE)) == pytest.approx(0.3711007, abs=1e-6)


def test_a_tie_teaches_nothing() -> None:
    """P2: a pair with weight 0 has the loss log 2 and no gradient."""
    w = value(0.05, True)
    loss = pair_dpo(w, value(-0.02), 0.1, 0.1, 0 * ONE)
    loss.sum().backward()
    assert float(loss.detach()) == pytest.approx(math.log(2)) and w.grad is not None and float(w.grad) == 0


@given(numbers, numbers)
def test_spo_s_range(a: float, b: float) -> None:
    """S1: beta = 10, clip = 0.1 bound the logit by 10 log(1.1/0.9) = 2.0067, so L lies in [0.1261, 2.1328]."""
    loss = float(pair_dpo(value(a), value(b), 10, 0.1, ONE))
    assert 0.12610 - 1e-4 <= loss <= 2.13283 + 1e-4


@given(numbers, numbers)
def test_pair_properties(a: float, b: float) -> None:
    """P3: P(w over l) + P(l over w) = 1. P4: with beta = clip = 0.1 the loss lies in [0.68316, 0.70323]."""
    there, back = pair_dpo(value(a), value(b), 0.1, 0.1, ONE), pair_dpo(value(b), value(a), 0.1, 0.1, ONE)
    assert float((-there).exp() + (-back).exp()) == pytest.approx(1)
    assert 0.68316 - 1e-5 <= float(there) <= 0.70323 + 1e-5


def test_no_gradient_outside_the_clamp_on_either_side() -> None:
    """P5: log 1.1 = 0.0953 and log 0.9 = -0.1054 bound the log-ratio."""
    for a, b in ((0.2, -0.2), (-0.2, 0.2)):
        w, low = value(a, True), value(b, True)
        pair_dpo(w, low, 0.1, 0.1, ONE).sum().backward()
        assert w.grad is not None and low.grad is not None and float(w.grad) == float(low.grad) == 0


def test_clamping_the_log_ratio_is_clamping_the_ratio_and_does_not_overflow() -> None:
    for x in (-0.2, -0.05, 0.0, 0.05, 0.2):
        ratio = torch.tensor(math.exp(x), dtype=torch.float64).clamp(0.9, 1.1).log()
        assert float(pair_dpo(value(x), value(0.0), 1.0, 0.1, ONE)) == pytest.approx(
            math.log1p(math.exp(-float(ratio)))
        )
    huge = value(1e4, True)
    pair_dpo(huge, value(0.0), 0.1, 0.1, ONE).sum().backward()
    assert huge.grad is not None and torch.isfinite(huge.grad).all()


def test_without_clip_the_paper_s_equation() -> None:
    """With beta = 1, log-ratios 0.5 and -0.5 give log(1 + e^-1) = 0.313262."""
    assert float(pair_dpo(value(0.5), value(-0.5), 1.0, None, ONE)) == pytest.approx(0.3132617, abs=1e-6)


@pytest.mark.parametrize("clip", [1e-4, 0.2, None])
def test_ppo_is_finite_however_large_the_ratio(clip: float | None) -> None:
    """A ratio of e^200 is infinite in float32. A clipped row (A > 0) has its clipped value and no gradient."""
    x = torch.tensor([200.0, 200.0, 200.0, -200.0, -200.0], requires_grad=True)
    advantage = torch.tensor([2.0, 0.0, -2.0, 2.0, -2.0])
    loss = ppo_clip(x, advantage, clip)
    loss.sum().backward()
    assert x.grad is not None and bool(x.grad.isfinite().all()) and bool(loss.isfinite().all())
    assert float(loss[1].detach()) == 0 and float(x.grad[1]) == 0
    assert float(x.grad[2]) > 1e30  # away from what was bad, as far as float32 can say
    if clip is not None:
        assert float(loss[0].detach()) == pytest.approx(-2 * (1 + clip)) and float(x.grad[0]) == 0
        assert float(loss[4].detach()) == pytest.approx(2 * (1 - clip)) and float(x.grad[4]) == 0


def test_ppo_moves_no_bit_of_a_ratio_that_is_finite() -> None:
    """Loss and gradient equal the formula as it is written, to the bit."""
    generator = torch.Generator().manual_seed(0)
    log_ratio = torch.cat([torch.randn(500, generator=generator) * scale for scale in (1e-5, 1e-3, 0.1, 10)])
    advantage = torch.randn(len(log_ratio), generator=generator)
    for clip in (1e-4, 0.2, None):
        ours, plain = (log_ratio.clone().requires_grad_() for _ in range(2))
        rho = plain.exp()
        written = -advantage * rho
        if clip is not None:
            written = torch.maximum(written, -advantage * rho.clamp(1 - clip, 1 + clip))
        loss = ppo_clip(ours, advantage, clip)
        assert torch.equal(loss, written)
        loss.sum().backward(), written.sum().backward()
        assert ours.grad is not None and plain.grad is not None and torch.equal(ours.grad, plain.grad)

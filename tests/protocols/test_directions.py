"""Gradient direction, guidance ratio and preference order, on networks that can be differentiated by hand."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import torch
from torch import Tensor

from benchbench import registry
from benchbench.api import Cond, StepPairs
from benchbench.protocols import gradient_direction
from benchbench.protocols.gradient_direction import DirectionSettings, GradientDirection, direction
from benchbench.protocols.guidance_ratio import GuidanceRatio, GuidanceSettings
from benchbench.protocols.preference_order import OrderSettings, PreferenceOrder, conflict
from tests.protocols.toy import SAMPLES, SHAPE, Net, make, probe

D3PO = registry.get("methods", "d3po")


def pair(x_w: list[float], x_l: list[float], next_w: list[float], next_l: list[float]) -> StepPairs:
    tensors = [torch.tensor(x).view(1, *SHAPE) for x in (x_w, x_l, next_w, next_l)]
    cond = Cond(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1))
    return StepPairs(*tensors, torch.tensor([3]), cond, torch.ones(1), shared_parent=x_w == x_l)


def measured(net: Net, rows: StepPairs) -> dict[str, float]:
    policy = make(net)
    loss, _ = D3PO().loss(policy, rows, D3PO.Config(), probe(lambda x: x).noise)
    return direction(policy, rows, loss)


def bias() -> Net:
    """eps = theta, whatever x is: J is the same multiple of the identity everywhere."""
    return Net(torch.full(SHAPE, 0.1), lambda theta, x, tau: theta.expand_as(x))


def scale() -> Net:
    """eps = theta x with one number theta: J(x) = c x, so that all inputs lie in one line's subspaces."""
    return Net(torch.tensor([0.5]), lambda theta, x, tau: theta * x)


def test_with_one_input_and_a_free_mean_the_update_points_to_the_preferred_sample() -> None:
    """eps = theta: J = c I, so J J^T (x_w - x_l) = c² (x_w - x_l): every cosine is 1, winner up, loser down.

    |x_w - x_l| = 0, so the distance is 0. next_w lies off the mean on one side, next_l on the other.
    """
    x = [1.0, 0.5, -0.2, 0.1]
    found = measured(bias(), pair(x, x, [2.0, 0.5, 0.0, 1.0], [-2.0, 0.4, 0.0, -1.0]))
    for name in ("cosine", "cosine_l", "cosine_noise"):
        assert found[name] == pytest.approx(1, abs=1e-4)
    assert (found["winner_up"], found["loser_down"], found["distance"]) == (1, 1, 0)


def test_with_two_inputs_the_difference_of_the_inputs_disturbs_it() -> None:
    """eps = theta: g = c [(n_w - mu_w) - (n_l - mu_l)] = c (dn - m dx), with mu = m x + const, at both inputs.

    So cosine_noise = 1 and cosine = cos(dn - m dx, dn) with dn = n_w - n_l, dx = x_w - x_l. With dn = (1, 0, 0, 0) and
    dx = (4, 0, 0, 0), m = to_x0/sqrt(a) > 1/4: dn - m dx points the other way, and the cosine is -1.
    """
    net = bias()
    schedule = make(net).schedule
    m = float(schedule.to_x0[3] / schedule.signal_scale[3])
    assert m > 0.25
    found = measured(net, pair([4.0, 0.0, 0, 0], [0.0, 0.0, 0, 0], [1.0, 0.0, 0, 0], [0.0, 0.0, 0, 0]))
    assert found["cosine"] == pytest.approx(-1, abs=1e-4) and found["cosine_noise"] == pytest.approx(1, abs=1e-4)
    assert found["distance"] == pytest.approx(4)
    found = measured(net, pair([0.0, 2.0, 0, 0], [0.0, 0.0, 0, 0], [1.0, 0.0, 0, 0], [0.0, 0.0, 0, 0]))
    assert found["cosine"] == pytest.approx(1 / math.hypot(1, 2 * m), abs=1e-4)


def test_inputs_on_one_line_are_moved_along_it() -> None:
    """eps = theta x: g is a number, d(x) = c' g x, so |cosine| = |cos(x_w, n_w - n_l)| and d_l is parallel to x_l.

    The sign of c' g: mu = (A + B theta) x with B = to_eps - to_x0 sqrt(1-a)/sqrt(a) and g ~ B [x_w . (n_w - mu_w) -
    x_l . (n_l - mu_l)], so d(x_w) ~ B² [...] x_w: the sign is that of the bracket, worked out below.
    """
    x_w, x_l, n_w, n_l = ([1.0, 0, 0, 0], [0.5, 0, 0, 0], [1.0, 1.0, 0, 0], [2.0, 0.0, 0, 0])
    net = scale()
    policy = make(net)
    rows = pair(x_w, x_l, n_w, n_l)
    with torch.no_grad():
        mu = policy.step(torch.cat([rows.x_w, rows.x_l]), 3, rows.cond.repeat(2)).mean.flatten(1)
    bracket = 1.0 * (1.0 - float(mu[0, 0])) - 0.5 * (2.0 - float(mu[1, 0]))
    along = math.copysign(1, bracket) * -1 / math.sqrt(2)  # cos((1,0), (1-2, 1-0)) = -1/sqrt(2)
    found = measured(net, rows)
    assert found["cosine"] == pytest.approx(along, abs=1e-3) and found["cosine_l"] == pytest.approx(along, abs=1e-3)


def test_parameters_come_back_bit_for_bit() -> None:
    net = scale()
    measured(net, pair([1.0, 0, 0, 0], [0.5, 0, 0, 0], [1.0, 1.0, 0, 0], [2.0, 0.0, 0, 0]))
    assert net.theta.tolist() == [0.5]


def test_guidance_of_a_linear_reward() -> None:
    """eps = 0: x̂0 = x/sqrt(a), r = w.x̂0, grad r = w/sqrt(a); x+ - x = 2 delta eta w/sqrt(a), both ways as intended.

    w = (1, 2, 0, 2): |w| = 3, rms 3/2. Step 4 looks at x_3: push = 2 * .5 * .2 * 1.5 / sqrt(abar_3) / sigma_4, and
    r+ - r = 2 delta eta |w|²/a = .2 * 9 / a. Step 1 looks at x_0, with abar_0 = 1: r+ - r = .2 * 9.
    """
    w = torch.tensor([1.0, 2, 0, 2]).view(1, *SHAPE)
    probed = probe(lambda x: (x * w).flatten(1).sum(1), Net(torch.zeros(1), lambda theta, x, tau: 0 * x))
    settings = GuidanceSettings(states=6, steps=(4, 1))
    rows = GuidanceRatio().measure_states(probed, SAMPLES, settings)
    a, sigma = float(probed.policy.schedule.alpha_bar[3]), float(probed.policy.schedule.sigma[4])
    late, early = rows[rows.k == 1], rows[rows.k == 4]
    assert (rows.up == 1).all() and (rows.down == 1).all()
    assert (early.r_plus - early.r).tolist() == pytest.approx([1.8 / a] * 6, rel=1e-4)
    assert (early.r - early.r_minus).tolist() == pytest.approx([1.8 / a] * 6, rel=1e-4)
    assert early.push.tolist() == pytest.approx([0.2 * 1.5 / a**0.5 / sigma] * 6, rel=1e-4)
    assert (late.r_plus - late.r).tolist() == pytest.approx([1.8] * 6, rel=1e-4)
    price = GuidanceRatio().cost(settings, 4)
    cost = probed.policy.cost
    assert (price.unet_evals, price.unet_grads) == (cost.plain_evals, cost.plain_grads)
    assert cost.latent_forwards == cost.plain_grads and price.nfe == price.unet_evals + 2.2 * price.unet_grads
    assert price.reward_calls == probed.step_reward.calls == 6 * 8  # type: ignore[attr-defined]


def test_a_reward_that_does_not_move_is_not_as_intended() -> None:
    """A constant reward has gradient 0: x+ = x, nothing rises and nothing falls."""
    rows = GuidanceRatio().measure_states(
        probe(lambda x: (0 * x).flatten(1).sum(1)), SAMPLES, GuidanceSettings(steps=(3,))
    )
    assert not rows.up.any() and not rows.down.any() and not rows.push.any()


def test_conflicts() -> None:
    """Opposite signs 1, same signs 0, a zero on either side is no comparison."""
    found = conflict(pd.Series([1.0, -2, 3, 0, 1]), pd.Series([2.0, 5, -1, 1, 0]))
    assert found[:3].tolist() == [0, 1, 1] and found[3:].isna().all()


def test_gains_by_hand() -> None:
    """Pairs a, b. First: the truth is 4 for a; step says b, final a; halves 6 and 2 both say a: (2 + 6) / 4 = 2.

    Second: the truth is -1, so b; step and final say b; halves 1 and -3 contradict: (-3 - 1) / 4 = -1.
    """
    frame = pd.DataFrame(
        {"step": [-0.1, -2.0], "final": [3.0, -1.0], "truth": [4.0, -1.0], "half_1": [6.0, 1.0], "half_2": [2.0, -3.0]}
    )
    found = PreferenceOrder().derive(frame, OrderSettings())
    assert found.gain_step.tolist() == [-2.0, 0.5] and found.gain_final.tolist() == [2.0, 0.5]
    assert found.gain_completions.tolist() == [2.0, -1.0]


def test_orders_of_pairs() -> None:
    """Step 1 leads to the images themselves: no conflict of any kind. Before it the truth is E[r|x] = r(x̂0), to its
    Monte-Carlo error, for a linear reward of the linear-Gaussian model; both branches leave one x_T.
    """
    probed = probe(lambda x: x.flatten(1).mean(1))
    settings = OrderSettings(states=6, steps=(4, 2, 1), completions=100)
    protocol = PreferenceOrder()
    rows = protocol.derive(protocol.measure_states(probed, SAMPLES, settings), settings)
    last, rest = rows[rows.k == 1], rows[rows.k > 1]
    assert (last[["conflict", "step_wrong", "final_wrong", "unreliable"]] == 0).all(axis=None)
    assert last.step.tolist() == last.final.tolist() == pytest.approx(last.truth.tolist())
    assert last.truth_se.tolist() == pytest.approx([0] * 6, abs=1e-6)
    assert ((rest.step - rest.truth).abs() < 4 * rest.truth_se).all()
    assert (rows.final != 0).all()
    assert ((rest.half_1 + rest.half_2) / 2).tolist() == pytest.approx(rest.truth.tolist(), abs=1e-6)
    price = protocol.cost(settings, 4)
    assert price.unet_evals == probed.policy.cost.plain_evals
    # of step 4: 3 known and 2 to go; of step 2: x_1, one known and none to go
    assert price.unet_evals == 6 * 2 * (4 + 100 * 2)


def test_halving_the_step_changes_no_cosine(monkeypatch: pytest.MonkeyPatch) -> None:
    """eps = tanh(theta x) is not linear in theta: the central difference has converged at STEP."""

    def net() -> Net:
        return Net(torch.tensor([0.5, -0.3, 0.8, 0.1]).view(SHAPE), lambda theta, x, tau: torch.tanh(theta * x))

    rows = pair([1.0, 0.3, -1, 2], [0.5, 1, 0, -1], [1.0, 1.0, 0, 0.5], [2.0, 0.0, 1, 0])
    first = measured(net(), rows)
    monkeypatch.setattr(gradient_direction, "STEP", gradient_direction.STEP / 2)
    assert measured(net(), rows) == pytest.approx(first, abs=2e-4)


def test_the_exact_jacobian_gives_the_same() -> None:
    """The central difference against J g with the Jacobian written out."""
    theta = torch.tensor([0.5, -0.3, 0.8, 0.1]).view(SHAPE)

    def formula(theta: Tensor, x: Tensor, tau: Tensor) -> Tensor:
        return torch.tanh(theta * x)

    rows = pair([1.0, 0.3, -1, 2], [0.5, 1, 0, -1], [1.0, 1.0, 0, 0.5], [2.0, 0.0, 1, 0])
    schedule = make(Net(theta, formula)).schedule

    def jacobian(x: Tensor) -> tuple[Tensor, Tensor]:
        """mu [4] and d mu / d theta [4, 4]."""

        def mu(theta: Tensor) -> Tensor:
            return schedule.step(x, formula(theta, x, torch.tensor([3])), 3).mean.flatten()

        return mu(theta), torch.autograd.functional.jacobian(mu, theta).reshape(4, 4)

    (mu_w, j_w), (mu_l, j_l) = jacobian(rows.x_w), jacobian(rows.x_l)
    g = j_w.T @ (rows.next_w.flatten() - mu_w) - j_l.T @ (rows.next_l.flatten() - mu_l)
    d_w = j_w @ g
    expected = torch.nn.functional.cosine_similarity(d_w, (rows.next_w - rows.next_l).flatten(), dim=0)
    assert measured(Net(theta, formula), rows)["cosine"] == pytest.approx(float(expected), abs=1e-4)


def test_ties_give_no_row() -> None:
    """A constant reward ties every pair: nothing can be asked of its direction."""
    rows = GradientDirection().measure_states(
        probe(lambda x: 0 * x.flatten(1).sum(1), bias()), SAMPLES[:2], DirectionSettings(steps=(3,), method="d3po",
        parameters="all"),
    )  # fmt: skip
    assert rows.empty and "cosine" in rows

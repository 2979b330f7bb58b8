"""The steps of flow matching against the formulas of their papers, diffusers' grids, and finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from benchbench.diffusion.flow_schedule import FlowSchedule, sigma_grid
from benchbench.errors import UsageError
from benchbench.noise import Noise, Sample

SHAPE = (3, 4, 2, 2)
SD3 = {"num_train_timesteps": 1000, "shift": 3.0, "use_dynamic_shifting": False}


def flow_sde(x: Tensor, v: Tensor, s: float, n: float, second: float, a: float) -> tuple[Tensor, float]:
    """Flow-GRPO, eq. 9: mean x + (v + g²/(2s) (x + (1-s) v)) dt, std g sqrt(-dt), g = a sqrt(s/(1-s))."""
    g, dt = a * math.sqrt(s / (1 - (second if s == 1 else s))), n - s
    return x + (v + g**2 / (2 * s) * (x + (1 - s) * v)) * dt, g * math.sqrt(-dt)


def dance_sde(x: Tensor, v: Tensor, s: float, n: float, second: float, a: float) -> tuple[Tensor, float]:
    """DanceGRPO: the score -(x - (1-s) x̂0)/s² times a²/2 is taken off the velocity; std a sqrt(-dt)."""
    x0, dt = x - s * v, n - s
    return x + (v + a**2 * (x - (1 - s) * x0) / (2 * s**2)) * dt, a * math.sqrt(-dt)


def cps(x: Tensor, v: Tensor, s: float, n: float, second: float, a: float) -> tuple[Tensor, float]:
    """Coefficients-preserving: (1-n) x̂0 + sqrt(n² - std²) e, std n sin(a pi/2)."""
    std = n * math.sin(a * math.pi / 2)
    return (1 - n) * (x - s * v) + math.sqrt(n**2 - std**2) * (x + (1 - s) * v), std


def ode(x: Tensor, v: Tensor, s: float, n: float, second: float, a: float) -> tuple[Tensor, float]:
    return x + v * (n - s), 0.0


FORMULAS = {"flow-sde": flow_sde, "dance-sde": dance_sde, "cps": cps, "ode": ode}


@pytest.mark.parametrize("grid", ["diffusers", "plain"])
@pytest.mark.parametrize("dynamics", FORMULAS)
def test_steps_are_those_of_the_papers(dynamics: str, grid: str) -> None:
    formula: Callable[..., tuple[Tensor, float]] = FORMULAS[dynamics]
    schedule = FlowSchedule(10, dynamics, 0.7, grid, 3.0)
    sigma = [float(s) for s in sigma_grid(10, grid, 3.0)]
    x, v = torch.randn(2, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).unbind(0)
    for i, k in enumerate(range(10, 1, -1)):
        mean, std = formula(x, v, sigma[i], sigma[i + 1], sigma[1], 0.7)
        step = schedule.step(x, v, k)
        torch.testing.assert_close(step.mean, mean, atol=1e-6, rtol=1e-6)
        assert float(step.std[0]) == pytest.approx(std, rel=1e-6) and step.stochastic == (dynamics != "ode")
        torch.testing.assert_close(step.x0, x - sigma[i] * v, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("dynamics", FORMULAS)
def test_the_last_step_draws_no_noise_and_is_the_prediction(dynamics: str) -> None:
    schedule = FlowSchedule(10, dynamics, 0.7, "diffusers", 3.0)
    x, v = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0)).unbind(0)
    last = schedule.step(x, v, 1)
    assert torch.equal(last.mean, last.x0) and not last.std.any()
    with pytest.raises(UsageError, match="no log-probability"):
        last.log_prob(last.mean)
    assert schedule.trainable == (() if dynamics == "ode" else tuple(range(10, 1, -1)))
    with pytest.raises(UsageError, match="draws no noise"):
        schedule.check([4, 1])


def test_spaced_steps_are_stochastic_ones() -> None:
    """Three of the nine steps 10..2 are 10, 7 and 4."""
    assert FlowSchedule(10, shift=3.0).spaced(3) == (10, 7, 4)
    assert FlowSchedule(10, shift=3.0).spaced(9) == tuple(range(10, 1, -1))


def test_grids_are_those_of_diffusers() -> None:
    """``diffusers`` is the scheduler called with a number of steps, ``plain`` with sigmas = 1 .. 1/N.

    By hand for 10 steps and shift 3: s_min = 3/1002 = 0.002994, the second 1 - (1 - s_min)/9 = 0.88922, shifted to
    3 * 0.88922/2.77844 = 0.96013; the last but one 3 s_min/(1 + 2 s_min) = 0.00893.
    """
    by_hand = sigma_grid(10, "diffusers", 3.0)
    assert by_hand[1].item() == pytest.approx(0.96013, abs=1e-5) and by_hand[9].item() == pytest.approx(
        0.00893, abs=1e-5
    )
    for steps, shift in ((10, 3.0), (28, 3.0), (40, 1.0), (7, 1.7)):
        theirs = FlowMatchEulerDiscreteScheduler(shift=shift)
        theirs.set_timesteps(steps)
        torch.testing.assert_close(sigma_grid(steps, "diffusers", shift).float(), theirs.sigmas, atol=1e-6, rtol=1e-5)
        schedule = FlowSchedule(steps, shift=shift)
        torch.testing.assert_close(schedule.tau[1:].flip(0), theirs.timesteps.float(), atol=1e-3, rtol=1e-5)
        theirs.set_timesteps(sigmas=torch.linspace(1, 1 / steps, steps).tolist())
        torch.testing.assert_close(sigma_grid(steps, "plain", shift).float(), theirs.sigmas, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("dynamics", ["flow-sde", "dance-sde", "cps"])
def test_gradient_of_the_log_prob_by_finite_differences(dynamics: str) -> None:
    schedule = FlowSchedule(10, dynamics, 0.7, "diffusers", 3.0)
    x, v, z = torch.randn(3, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).unbind(0)
    for k in (10, 5, 2):
        x_next = schedule.step(x, v, k).draw(z)

        def score(prediction: Tensor, k: int = k, x_next: Tensor = x_next) -> Tensor:
            return schedule.step(x, prediction, k).log_prob(x_next)

        assert torch.autograd.gradcheck(score, v.clone().requires_grad_(), atol=1e-6, rtol=1e-4)
        expected = -z.square().flatten(1).mean(1) / 2 - math.log(float(schedule.sigma[k])) - 0.5 * math.log(2 * math.pi)
        torch.testing.assert_close(score(v), expected)


def test_noise_is_added_as_the_schedule_takes_it_away() -> None:
    """The target at the noised sample, split at that step, gives back the clean sample and the noise."""
    schedule = FlowSchedule(10, shift=3.0)
    x0, eps = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0)).unbind(0)
    k = torch.tensor([10, 6, 1])
    noised = schedule.add_noise(x0, eps, schedule.tau[k])
    torch.testing.assert_close(noised[0], eps[0])
    for found, expected in zip(
        schedule.split(noised, schedule.target(x0, eps, schedule.tau[k]), k), (x0, eps), strict=True
    ):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("time", ["uniform", "logit-normal"])
def test_times_of_given_images(time: str) -> None:
    """Shifted by 3, uniform times have the mean 1.5 - 0.75 log 3 = 0.676; each depends on its row alone.

    That of logit-normal times is E sigmoid(z + log 3), by quadrature below.
    """
    schedule = FlowSchedule(10, shift=3.0, draw_time=time)
    rows = [Sample("", number) for number in range(4000)]
    tau = schedule.draw_time(Noise(0, "train"), rows)
    grid = torch.linspace(-8, 8, 20001, dtype=torch.float64)
    density = torch.exp(-grid.square() / 2) / math.sqrt(2 * math.pi)
    normal = float((torch.sigmoid(grid + math.log(3)) * density).sum() * (grid[1] - grid[0]))
    expected = normal if time == "logit-normal" else 1.5 - 0.75 * math.log(3)
    assert (
        float(tau.mean()) / 1000 == pytest.approx(expected, abs=0.015)
        and 0 < float(tau.min()) < float(tau.max()) < 1000
    )
    assert torch.equal(tau[7:9], schedule.draw_time(Noise(0, "train"), rows[7:9]))


@pytest.mark.parametrize(
    "change",
    [{"use_dynamic_shifting": True}, {"num_train_timesteps": 500}, {"invert_sigmas": True}, {"shift_terminal": 0.02}],
)
def test_other_schedulers_are_refused(change: dict[str, object]) -> None:
    assert FlowSchedule.from_config(SD3, 10).shift == 3.0
    with pytest.raises(UsageError, match=next(iter(change))):
        FlowSchedule.from_config(SD3 | change, 10)

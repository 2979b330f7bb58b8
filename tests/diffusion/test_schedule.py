"""The DDIM step against hand-derived values, diffusers' own scheduler and the DDPM posterior (methods.md, C1-C8)."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers import DDIMScheduler

from benchbench.diffusion.diffusion_schedule import DiffusionSchedule
from benchbench.diffusion.schedule import check_steps, log_prob
from benchbench.errors import UsageError

SD15 = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "prediction_type": "epsilon",
}
SHAPE = (3, 4, 8, 8)


@pytest.fixture
def schedule() -> DiffusionSchedule:
    return DiffusionSchedule.from_config(SD15, 20, 1.0)


def test_constants_of_sd15(schedule: DiffusionSchedule) -> None:
    """tau_k = (k-1)*50 + 1, and the sigma of five steps as computed from SD 1.5's betas in the specification."""
    assert [int(schedule.tau[k]) for k in (20, 16, 12, 8, 4, 1, 0)] == [951, 751, 551, 351, 151, 1, 0]
    for k, sigma in {20: 0.6444, 16: 0.5576, 12: 0.4565, 8: 0.3442, 4: 0.2144, 2: 0.0406, 1: 0.0206}.items():
        assert float(schedule.sigma[k]) == pytest.approx(sigma, abs=1e-4)
    assert float(schedule.alpha_bar[20]) == pytest.approx(0.00815, abs=1e-5)
    assert (schedule.sigma[1:] > 0).all()  # C6


@pytest.mark.parametrize("steps", [5, 20, 50])
@pytest.mark.parametrize("eta", [0.3, 1.0])
@pytest.mark.parametrize("predicted", ["epsilon", "v_prediction"])
def test_step_equals_diffusers(predicted: str, steps: int, eta: float) -> None:
    """One x, prediction and z give diffusers' own next sample and x̂0 at every step."""
    config = SD15 | {"prediction_type": predicted}
    ours = DiffusionSchedule.from_config(config, steps, eta)
    theirs = DDIMScheduler(**config)
    theirs.set_timesteps(steps)
    generator = torch.Generator().manual_seed(0)
    for k, t in zip(range(steps, 0, -1), theirs.timesteps, strict=True):
        x, e, z = (torch.randn(SHAPE, generator=generator) for _ in range(3))
        expected = theirs.step(e, t, x, eta=eta, variance_noise=z)
        step = ours.step(x, e, k)
        assert int(t) == int(ours.tau[k])
        torch.testing.assert_close(step.draw(z), expected.prev_sample, atol=2e-4, rtol=1e-5)
        torch.testing.assert_close(step.x0, expected.pred_original_sample, atol=2e-4, rtol=1e-5)


def test_eta_one_is_the_ddpm_posterior(schedule: DiffusionSchedule) -> None:
    """With eta = 1 the mean is that of q(x' | x, x̂0): (sqrt(p) b x̂0 + sqrt(a/p) (1-p) x) / (1-a), b = 1 - a/p."""
    x, e = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0)).unbind(0)
    for k in range(20, 1, -1):
        a, p = schedule.alpha_bar[k].double(), schedule.alpha_bar[k - 1].double()
        step = schedule.step(x, e, k)
        b = 1 - a / p
        expected = (p.sqrt() * b * step.x0.double() + (a / p).sqrt() * (1 - p) * x.double()) / (1 - a)
        torch.testing.assert_close(step.mean.double(), expected, atol=1e-4, rtol=1e-4)


def test_log_prob_of_a_known_draw(schedule: DiffusionSchedule) -> None:
    """C1: x' = mu + sigma z has log-prob -mean(z²)/2 - log sigma - log sqrt(2 pi).

    By hand for z = 2 everywhere at k = 20: -4/2 - log 0.6444 - 0.918939 = -2.4795.
    """
    x, e, z = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0)).unbind(0)
    step = schedule.step(x, e, 20)
    expected = (
        -z.square().flatten(1).mean(1) / 2 - math.log(float(schedule.sigma[20])) - math.log(math.sqrt(2 * math.pi))
    )
    torch.testing.assert_close(step.log_prob(step.draw(z)), expected, atol=1e-5, rtol=1e-5)
    two = step.log_prob(step.draw(torch.full(SHAPE, 2.0)))
    assert two.tolist() == pytest.approx([-2.4795] * 3, abs=1e-3)


def test_log_prob_gradient_reaches_the_mean_only() -> None:
    """d log p / d mu = (x' - mu) / (sigma² D), and the sample is a given action."""
    x, mean = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0)).unbind(0)
    x.requires_grad_(), mean.requires_grad_()
    log_prob(x, mean, torch.full((3, 1, 1, 1), 0.5)).sum().backward()
    assert x.grad is None
    torch.testing.assert_close(mean.grad, ((x - mean) / (0.25 * 4 * 8 * 8)).detach())


def test_rows_may_stand_at_different_steps(schedule: DiffusionSchedule) -> None:
    """A vector of step indices gives each row what the single index gives it."""
    x, e, z = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0)).unbind(0)
    together = schedule.step(x, e, torch.tensor([20, 7, 1]))
    for row, k in enumerate((20, 7, 1)):
        alone = schedule.step(x[row : row + 1], e[row : row + 1], k)
        assert torch.equal(together.draw(z)[row], alone.draw(z[row : row + 1])[0])
        assert torch.equal(together[row : row + 1].x0, alone.x0)


def test_spaced_steps(schedule: DiffusionSchedule) -> None:
    """T12."""
    assert schedule.spaced(5) == (20, 16, 12, 8, 4)
    assert schedule.spaced(10) == tuple(range(20, 0, -2))
    with pytest.raises(UsageError, match="21"):
        check_steps([21, 4], 20)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"prediction_type": "sample"}, "prediction_type='sample'"),
        ({"clip_sample": True}, "clip_sample"),
        ({"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr"),
        ({"steps_offset": 0}, "no noise"),
    ],
)
def test_refuses_what_the_arithmetic_does_not_hold_for(change: dict, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        DiffusionSchedule.from_config({**SD15, **change}, 20, 1.0)


@pytest.mark.parametrize("predicted", ["epsilon", "v_prediction"])
def test_the_target_is_what_a_step_splits(predicted: str) -> None:
    """Noising an image and splitting the target there gives back the image and the noise."""
    schedule = DiffusionSchedule.from_config(SD15 | {"prediction_type": predicted}, 20, 1.0)
    x0, eps = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0)).unbind(0)
    k = torch.tensor([20, 7, 1])
    tau = schedule.tau[k]
    noised = schedule.add_noise(x0, eps, tau)
    for found, expected in zip(schedule.split(noised, schedule.target(x0, eps, tau), k), (x0, eps), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_eta_zero_draws_no_noise_and_has_no_log_prob() -> None:
    """C7. The step is DDIM's: sqrt(abar') x̂0 + sqrt(1 - abar') e, with no step that a method could learn from."""
    schedule = DiffusionSchedule.from_config(SD15, 20, 0.0)
    assert schedule.trainable == () and not schedule.sigma.any()
    x, e = (torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(i)) for i in range(2))
    abar = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2, 0)
    now, then = float(abar[451]), float(abar[401])
    x0 = (x - (1 - now) ** 0.5 * e) / now**0.5
    step = schedule.step(x, e, 10)
    torch.testing.assert_close(step.mean, then**0.5 * x0 + (1 - then) ** 0.5 * e, atol=1e-4, rtol=1e-4)
    assert torch.equal(step.draw(torch.randn(2, 4, 8, 8)), step.mean)
    with pytest.raises(UsageError, match="no log-probability"):
        step.log_prob(x)
    with pytest.raises(UsageError, match="draws no noise"):
        schedule.check([10])


@pytest.mark.parametrize(
    ("config", "steps", "first"),
    [
        ({}, 1000, 1000),
        ({}, 1001, None),
        ({"num_train_timesteps": 100}, 100, 100),
        ({"num_train_timesteps": 100}, 101, None),
        ({"steps_offset": 50}, 20, 1000),
        ({"steps_offset": -1}, 20, 949),
    ],
)
def test_more_steps_than_the_schedule_has_are_refused(config: dict[str, int], steps: int, first: int | None) -> None:
    with pytest.raises(UsageError, match=f"a sampler of {steps} steps does not fit") as error:
        DiffusionSchedule.from_config(SD15 | config, steps, 1.0)
    timesteps = (SD15 | config)["num_train_timesteps"]
    said = f"it has {timesteps} timesteps" if first is None else f"would start at {first}"
    assert error.value.cause.endswith(said)


@pytest.mark.parametrize("steps", [1, 2, 333, 500, 501, 999])
def test_every_number_of_steps_below_the_schedule_s_is_taken(steps: int) -> None:
    """The timesteps fall by one stride from the first one to 1."""
    tau = DiffusionSchedule.from_config(SD15, steps, 1.0).timesteps
    assert len(tau) == steps + 1 and tau[0] == 0
    assert list(tau[1:]) == [1 + k * (1000 // steps) for k in range(steps)] and tau[-1] <= 999


@pytest.mark.parametrize(
    "config", [{"beta_schedule": "cosine-ish"}, {"steps_offset": "one"}, {"num_train_timesteps": -3}, {"beta_end": "x"}]
)
def test_a_scheduler_config_that_diffusers_does_not_read_is_named(config: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="scheduler config cannot be used"):
        DiffusionSchedule.from_config(SD15 | config, 20, 1.0)


def test_a_noise_that_float32_rounds_to_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match=r"sampler\.eta=1e-60 is not possible"):
        DiffusionSchedule.from_config(SD15, 20, 1e-60)

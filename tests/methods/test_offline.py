"""The offline methods on a network: the noise of a pair, losses at the reference, and a step of descent."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError

from benchbench.api import ImagePairs, Images, mse, noised, predict_pairs
from benchbench.diffusion.policy import Policy
from benchbench.methods.diffusion_dpo import DiffusionDPO, DiffusionDPOConfig
from benchbench.methods.diffusion_kto import DiffusionKTO, DiffusionKTOConfig
from benchbench.methods.dspo import DSPO, DSPOConfig
from benchbench.methods.mapo import MaPO, MaPOConfig
from benchbench.methods.sft import SFT, SFTConfig
from benchbench.noise import Noise
from tests.methods.descent import descend

NOISE = Noise(0, "train")
N = 5


def latents(seed: int) -> torch.Tensor:
    return torch.randn(N, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


def pairs(policy: Policy, first_draw: int = 0) -> ImagePairs:
    return ImagePairs(latents(1), latents(2), policy.encode(["cat"] * N), torch.arange(first_draw, first_draw + N))


def images(policy: Policy) -> Images:
    label = torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0])
    return Images(latents(1), policy.encode(["cat"] * N), torch.arange(N), label)


@pytest.fixture
def fresh(tuned: Policy) -> Policy:
    """Returns a policy with B = 0, which equals its reference."""
    with torch.no_grad():
        for name, parameter in tuned.backbone.network.named_parameters():
            if ".lora_B." in name:
                parameter.zero_()
    return tuned


def test_noised_is_diffusers_add_noise(policy: Policy) -> None:
    """DDPMScheduler gives the same on the same noise and timesteps within rounding, since its roots are float32."""
    from diffusers import DDPMScheduler

    x, tau, eps = noised(policy, latents(0), torch.arange(N), NOISE)
    keep = ("beta_start", "beta_end", "beta_schedule", "num_train_timesteps")
    scheduler = DDPMScheduler(**{key: policy.backbone.scheduler_config[key] for key in keep})
    torch.testing.assert_close(x, scheduler.add_noise(latents(0), eps, tau), rtol=1e-5, atol=1e-6)
    assert policy.schedule.train_steps == 1000 and int(tau.min()) >= 0 and int(tau.max()) < 1000


def test_predict_is_the_network_without_guidance(tuned: Policy) -> None:
    """Policy and reference take one forward each at any guidance scale; the reference has its adapter off."""
    x, tau, cond = latents(0), torch.tensor([0, 10, 500, 998, 999]), tuned.encode(["cat"] * N)
    with torch.no_grad():
        predicted, ref = tuned.predict(x, tau, cond), tuned.reference_predict(x, tau, cond)
        torch.testing.assert_close(predicted, tuned.backbone.network(x, tau, cond.text).sample, rtol=0, atol=0)
        with tuned.adapter_off():
            torch.testing.assert_close(ref, tuned.backbone.network(x, tau, cond.text).sample, rtol=0, atol=0)
    assert not torch.equal(predicted, ref) and ref.dtype is torch.float32 and not ref.requires_grad
    assert (tuned.cost.plain_evals, tuned.cost.unet_evals, tuned.cost.nfe("lora")) == (2 * N, 0, N)


def test_winner_and_loser_share_noise_and_timestep(tuned: Policy) -> None:
    """F3; with eps=own they share only the timestep, and the winner keeps its noise."""
    shared, separate = (predict_pairs(tuned, pairs(tuned), NOISE, shared=s) for s in (True, False))
    assert torch.equal(shared.target_w, shared.target_l) and torch.equal(separate.target_w, shared.target_w)
    assert not torch.equal(separate.target_w, separate.target_l)
    tau_w, tau_l = (
        noised(tuned, x, torch.arange(N), NOISE, side)[1] for x, side in ((latents(1), ""), (latents(2), "loser"))
    )
    assert torch.equal(tau_w, tau_l)


def test_a_row_is_a_function_of_its_draw(tuned: Policy) -> None:
    batch = pairs(tuned)
    x, tau, eps = noised(tuned, batch.x_w, batch.draw, NOISE)
    for i in range(N):
        row = noised(tuned, batch[i : i + 1].x_w, batch[i : i + 1].draw, NOISE)
        assert all(torch.equal(a, b[i : i + 1]) for a, b in zip(row, (x, tau, eps), strict=True))
    later = noised(tuned, batch.x_w, batch.draw + N, NOISE)
    assert not torch.equal(later[1], tau) and not torch.equal(later[2], eps)


def test_diffusion_dpo_forms(tuned: Policy) -> None:
    """The released form has beta/2 on means; without half, 2500 equals 5000; a sum is D = 256 times a mean."""

    def loss(**words: object) -> float:
        cfg = DiffusionDPOConfig(**words)  # type: ignore[arg-type]
        return float(DiffusionDPO().loss(tuned, pairs(tuned), cfg, NOISE)[0].detach())

    released = loss()
    assert loss(beta=2500, half=False) == pytest.approx(released, rel=1e-6)
    assert loss(beta=5000 / 256, error="sum") == pytest.approx(released, rel=1e-5)
    assert loss(eps="own") != released


def test_diffusion_dpo_is_its_formula(tuned: Policy) -> None:
    """The loss is the mean of log(1 + exp(beta/2 ((m_w - m_l) - (q_w - q_l)))) over the same predictions."""
    p = predict_pairs(tuned, pairs(tuned), NOISE, shared=True)
    (m_w, m_l), (q_w, q_l) = p.m, p.q
    by_hand = torch.log1p(torch.exp(10.0 * ((m_w - m_l) - (q_w - q_l)))).mean()
    loss, metrics = DiffusionDPO().loss(tuned, pairs(tuned), DiffusionDPOConfig(beta=20), NOISE)
    assert float(loss.detach()) == pytest.approx(float(by_hand.detach()), rel=1e-5)
    assert float(metrics["margin"]) == pytest.approx(float(((q_w - m_w) - (q_l - m_l)).mean().detach()), abs=1e-6)
    assert float(metrics["mse_w"]) == pytest.approx(float(m_w.mean().detach()))


def test_losses_at_the_reference(fresh: Policy) -> None:
    """The losses are log 2 (F1), 1/4 (O2), 1/2 for KTO with z0 = 0, and the winner's error for DSPO (O1)."""
    batch = pairs(fresh)
    for method, cfg, wanted in [
        (DiffusionDPO(), DiffusionDPOConfig(), math.log(2)),
        (DSPO(), DSPOConfig(form="sdxl", beta=5000), 0.25),
        (DSPO(), DSPOConfig(form="ref", beta=1000), 0.25),
    ]:
        loss, metrics = method.loss(fresh, batch, cfg, NOISE)  # type: ignore[arg-type]
        assert float(loss.detach()) == pytest.approx(wanted, abs=1e-6) and float(metrics["margin"]) == 0
        assert method.loss_at_start(cfg) == pytest.approx(wanted)
    kto = DiffusionKTO()
    with torch.no_grad():
        prepared, _ = kto.prepare(fresh, images(fresh), DiffusionKTOConfig(), NOISE)
    assert float(kto.loss(fresh, prepared, DiffusionKTOConfig(), NOISE)[0].detach()) == pytest.approx(0.5, abs=1e-3)
    dspo, metrics = DSPO().loss(fresh, batch, DSPOConfig(), NOISE)
    assert float(dspo.detach()) == pytest.approx(float(metrics["mse_w"]), rel=1e-6)
    assert float(metrics["mse_w"]) == float(metrics["reference_mse_w"]) and float(metrics["moved"]) == 0


def test_sft_is_the_winners_error(tuned: Policy) -> None:
    """F6: SFT's loss is Diffusion-DPO's m_w on the same draws."""
    loss, _ = SFT().loss(tuned, images(tuned), SFTConfig(), NOISE)
    m_w, _ = predict_pairs(tuned, pairs(tuned), NOISE, shared=True).m
    assert float(loss.detach()) == pytest.approx(float(m_w.mean().detach()), rel=1e-5)
    assert SFT.winners(SFTConfig()) == 1


def test_z0_is_of_the_whole_batch_however_it_is_cut(tuned: Policy) -> None:
    """z0 = max(0, mean over all 5 of q - m) is the same in both parts, whose losses average to the batch's.

    With beta = 10 an error's rounding of 1e-7 stays below 1e-6 of the loss; the default of 1000 would multiply it.
    """
    kto, cfg, batch = DiffusionKTO(), DiffusionKTOConfig(beta=10), images(tuned)
    with torch.no_grad():
        prepared, _ = kto.prepare(tuned, batch, cfg, NOISE)
        x, tau, eps = noised(tuned, batch.x, batch.draw, NOISE)
        g = mse(tuned.reference_predict(x, tau, batch.cond), eps) - mse(tuned.predict(x, tau, batch.cond), eps)
        losses = [float(kto.loss(tuned, part, cfg, NOISE)[0]) for part in (prepared, prepared[:2], prepared[2:])]
    assert prepared.z0.unique().tolist() == pytest.approx([max(0.0, float(g.mean()))], abs=1e-7)
    assert losses[0] == pytest.approx((2 * losses[1] + 3 * losses[2]) / 5, rel=1e-4)


def test_z0_is_not_negative_and_carries_no_gradient(tuned: Policy) -> None:
    """The random adapter only adds error, so the mean gain is below 0 and z0 is 0."""
    with torch.no_grad():
        prepared, _ = DiffusionKTO().prepare(tuned, images(tuned), DiffusionKTOConfig(), NOISE)
        theta, tau, eps = noised(tuned, latents(1), torch.arange(N), NOISE)
        g = prepared.q - mse(tuned.predict(theta, tau, prepared.cond), eps)
    assert not prepared.z0.requires_grad and not prepared.q.requires_grad
    assert float(prepared.z0[0]) == pytest.approx(max(0.0, float(g.mean())), abs=1e-7)


def test_a_beta_that_does_not_fit_the_form_is_refused() -> None:
    with pytest.raises(ValidationError, match="needs beta < 1"):
        DSPOConfig(beta=5000)
    with pytest.raises(ValidationError, match="needs beta >= 1"):
        DSPOConfig(form="ref")
    assert DSPOConfig(form="e").beta == 0.001 and DSPOConfig(form="sdxl", beta=5000).beta == 5000


def test_mapo_asks_no_reference(tuned: Policy) -> None:
    """A pair takes 2 evaluations with gradient and none without, as methods.md says."""
    loss, metrics = MaPO().loss(tuned, pairs(tuned), MaPOConfig(), NOISE)
    assert (tuned.cost.plain_grads, tuned.cost.plain_evals) == (2 * N, 0) and MaPO.needs(MaPOConfig()) == frozenset()
    assert math.isfinite(float(loss.detach())) and "reference_mse_w" not in metrics
    assert MaPOConfig().flip == "joint" and MaPOConfig().caption_dropout == 0


@pytest.mark.parametrize("name", ["diffusion-dpo", "dspo-ref", "mapo"])
def test_a_step_of_descent_prefers_the_winners(fresh: Policy, name: str) -> None:
    """A step of descent raises the margin of its pairs."""
    method, cfg = {
        "diffusion-dpo": (DiffusionDPO(), DiffusionDPOConfig()),
        "dspo-ref": (DSPO(), DSPOConfig(form="ref", beta=5000)),
        "mapo": (MaPO(), MaPOConfig()),
    }[name]
    descend(fresh, lambda: method.loss(fresh, pairs(fresh), cfg, NOISE), fall=1e-2)  # type: ignore[arg-type]

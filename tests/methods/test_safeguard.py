"""SDPO's safeguard and DMPO's loss, options of the methods on pairs."""

from __future__ import annotations

import math

import pytest
import torch

from benchbench.api import (
    ImagePairs,
    MethodConfig,
    OfflineMethod,
    diffusion_dpo,
    dmpo,
    loser_scale,
    pair_logit,
    predict_pairs,
    scale_gradient,
)
from benchbench.config import RunConfig, load
from benchbench.diffusion.policy import Policy
from benchbench.methods.diffusion_dpo import DiffusionDPO, DiffusionDPOConfig
from benchbench.methods.dspo import DSPO, DSPOConfig
from benchbench.noise import Noise
from benchbench.train.remarks import remarks

NOISE = Noise(0, "train")
N = 5
MADE = "made:shapes-simple:shapes-pref:2"


def settings(method: str, *overrides: str, preset: str | None = None) -> RunConfig:
    return load(method, "shapes", "shapes-pref", "shapes-simple", 16, 0, preset, overrides, MADE)


def pairs(policy: Policy) -> ImagePairs:
    x_w, x_l = (torch.randn(N, 4, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    return ImagePairs(x_w, x_l, policy.encode(["cat"] * N), torch.arange(N))


def test_dmpo_by_hand() -> None:
    """With p = sigmoid(z): z = 0 gives (ln(.5/.99) + ln(.5/.01))/2 = 1.614463; p = 3/4 gives .75 ln(.75/.99) +
    .25 ln(.25/.01) = .596494; p = .99 gives 0. Without end it tends to -ln .99 = .010050 and -ln .01 = 4.605170.
    """
    z = torch.tensor([0.0, math.log(3), math.log(99), 300.0, -300.0], requires_grad=True)
    loss = dmpo(z, 0.01)
    assert loss.tolist() == pytest.approx([1.614463, 0.596494, 0, 0.010050, 4.605170], abs=2e-6)
    loss.sum().backward()
    assert z.grad is not None and bool(z.grad.isfinite().all())
    assert z.grad.tolist()[2:] == pytest.approx([0, 0, 0], abs=1e-6)


@pytest.mark.parametrize("alpha", [1e-4, 0.01, 0.3])
def test_dmpo_is_the_reverse_kl_and_its_slope_that_of_its_values(alpha: float) -> None:
    """The values are torch.distributions' and the slopes those of finite differences, in float64."""
    z = torch.linspace(-6, 8, 29, dtype=torch.float64, requires_grad=True)
    loss = dmpo(z, alpha)
    bernoulli = torch.distributions.Bernoulli
    target = bernoulli(probs=torch.tensor(1 - alpha, dtype=torch.float64))
    torch.testing.assert_close(loss, torch.distributions.kl_divergence(bernoulli(logits=z), target))
    (slope,) = torch.autograd.grad(loss.sum(), z)
    h = 1e-5
    torch.testing.assert_close(slope, ((dmpo(z + h, alpha) - dmpo(z - h, alpha)) / (2 * h)).detach(), atol=1e-8, rtol=0)
    end = math.log((1 - alpha) / alpha)
    torch.testing.assert_close(slope, (torch.sigmoid(z) * torch.sigmoid(-z) * (z - end)).detach())


def test_the_factor_by_hand() -> None:
    """With d_w = (1, 0) and mu = 0, d_l = (2, 1) bounds s by 1/2, (1/2, 3) by 2, and (-1, 0) and (0, 1) do not bound
    it. mu = .9 leaves a tenth: 1/20 and 1/5; mu = 1 leaves nothing of a loser that harms. No error of the winner: 1.
    """
    d_l = torch.tensor([[2.0, 1.0], [0.5, 3.0], [-1.0, 0.0], [0.0, 1.0]])
    d_w = torch.tensor([[1.0, 0.0]]).expand(4, 2)
    assert loser_scale(d_w, d_l, 0.0).tolist() == [0.5, 1, 1, 1]
    assert loser_scale(d_w, d_l, 0.9).tolist() == pytest.approx([0.05, 0.2, 1, 1])
    assert loser_scale(d_w, d_l, 1.0).tolist() == [0, 0, 1, 1]
    assert loser_scale(torch.zeros(4, 2), d_l, 0.5).tolist() == [1, 1, 1, 1]
    huge = loser_scale(torch.full((1, 2), 1e18), torch.full((1, 2), 1e-20), 0.5)
    assert huge.tolist() == [1] and not loser_scale(d_w.clone().requires_grad_(), d_l, 0.0).requires_grad


def test_a_scaled_gradient_leaves_the_value_to_the_bit() -> None:
    x = torch.rand(100, generator=torch.Generator().manual_seed(0)).requires_grad_()
    s = torch.linspace(0, 1, 100)
    y = scale_gradient(x, s)
    assert torch.equal(y, x)
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], s)


@pytest.mark.parametrize("mu", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("name", ["dpo", "dmpo"])
def test_the_winners_error_does_not_grow_to_first_order(mu: float, name: str) -> None:
    """One step against the loss's gradient by autograd, where both predictions are one output that moves as a whole.

    In the first pair the loser's error is three times the winner's: without a safeguard m_w grows by twice what the
    winner alone takes off, with it m_w falls by exactly mu of that. In the second the errors are opposed: s = 1.
    """
    d = torch.tensor([[1.0, -2.0, 0.5], [1.0, 1.0, -1.0]], dtype=torch.float64).reshape(2, 3, 1, 1)
    d_w, d_l = d.clone().requires_grad_(), (d * torch.tensor([3.0, -2.0]).reshape(2, 1, 1, 1)).requires_grad_()
    m_w, m_l = (x.square().flatten(1).mean(1) for x in (d_w, d_l))

    def change(guarded: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the first-order changes of m_w by such a step of size 1, and by the winner's part of it alone."""
        z = pair_logit(m_w, guarded, m_w.detach(), m_l.detach(), 1.0)  # z = 0, at the reference
        loss = diffusion_dpo(z) if name == "dpo" else dmpo(z, 0.01)
        g_w, g_l = torch.autograd.grad(loss.sum(), [d_w, d_l], retain_graph=True)
        (slope,) = torch.autograd.grad(m_w.sum(), d_w, retain_graph=True)
        return tuple(-(step * slope).flatten(1).sum(1) for step in (g_w + g_l, g_w))  # type: ignore[return-value]

    plain, alone = change(m_l)
    assert plain[0] == pytest.approx(-2 * float(alone[0])) and float(plain[0]) > 0
    guarded, _ = change(scale_gradient(m_l, loser_scale(d_w, d_l, mu)))
    assert float(guarded[0]) == pytest.approx(mu * float(alone[0])) and float(guarded[0]) <= 1e-12
    assert float(guarded[1]) == float(plain[1]) < float(alone[1])


FORMS: dict[str, tuple[OfflineMethod, MethodConfig, MethodConfig]] = {
    "diffusion-dpo": (DiffusionDPO(), DiffusionDPOConfig(beta=20), DiffusionDPOConfig(beta=20, safeguard=0.9)),
    "dmpo": (
        DiffusionDPO(),
        DiffusionDPOConfig(beta=20, loss="dmpo"),
        DiffusionDPOConfig(beta=20, loss="dmpo", safeguard=0.9),
    ),
    "dspo": (DSPO(), DSPOConfig(form="ref", beta=20), DSPOConfig(form="ref", beta=20, safeguard=0.9)),
}


@pytest.mark.parametrize("name", FORMS)
def test_on_a_network_the_factor_is_each_pairs_own(tuned: Policy, name: str) -> None:
    """The gradient is the sum over pairs of dL/dz dz/dm (grad m_w - s grad m_l), put together here one by one.

    The value of the loss is that without a safeguard, to the bit.
    """
    method, plain, guarded = FORMS[name]
    batch, parameters = pairs(tuned), tuned.parameters()
    before, without = method.loss(tuned, batch, plain, NOISE)
    loss, metrics = method.loss(tuned, batch, guarded, NOISE)
    assert torch.equal(loss, before) and "loser_scale" not in without
    found = torch.autograd.grad(loss, parameters)
    p = predict_pairs(tuned, batch, NOISE, shared=True)
    (m_w, m_l), q = p.m, p.q
    inputs = [m.detach().requires_grad_() for m in (m_w, m_l)]
    z = pair_logit(*inputs, *q, 10.0)
    losses = {"diffusion-dpo": diffusion_dpo(z), "dmpo": dmpo(z, 0.01), "dspo": (1 - torch.sigmoid(z)).square()}
    by_w, by_l = torch.autograd.grad(losses[name].mean(), inputs)
    scales = []
    wanted = [torch.zeros_like(parameter) for parameter in parameters]
    for i in range(N):
        a, b = (p.theta_w - p.target_w)[i].detach().reshape(-1), (p.theta_l - p.target_l)[i].detach().reshape(-1)
        s = min(1.0, 0.1 * float(a @ a) / float(a @ b)) if a @ b > 0 else 1.0
        scales.append(s)
        part = torch.autograd.grad(by_w[i] * m_w[i] + s * by_l[i] * m_l[i], parameters, retain_graph=True)
        wanted = [total + gradient for total, gradient in zip(wanted, part, strict=True)]
    assert float(metrics["loser_scale"]) == pytest.approx(sum(scales) / N, rel=1e-5) and min(scales) < 0.5
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-3)


def test_dspo_takes_the_factor_in_its_logit_alone(tuned: Policy) -> None:
    """DSPO-E has no loser: its gradient is the same to the bit, and the setting is told to have no effect."""
    plain, guarded = DSPOConfig(form="e", beta=0.5), DSPOConfig(form="e", beta=0.5, safeguard=0.2)
    gradients = [
        torch.autograd.grad(DSPO().loss(tuned, pairs(tuned), cfg, NOISE)[0], tuned.parameters())
        for cfg in (plain, guarded)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    assert list(DSPO.without_effect(guarded)) == ["safeguard"] and DSPO.without_effect(DSPOConfig()) == {}


def test_dmpo_starts_where_it_says(tuned: Policy) -> None:
    """KL(1/2 || 1 - alpha), by hand for .01 as above: 1.614463."""
    with torch.no_grad():
        for name, parameter in tuned.backbone.network.named_parameters():
            if ".lora_B." in name:
                parameter.zero_()
        cfg = DiffusionDPOConfig(loss="dmpo", safeguard=0.9)
        loss, _ = DiffusionDPO().loss(tuned, pairs(tuned), cfg, NOISE)
    assert float(loss) == pytest.approx(1.614463, abs=1e-5) == DiffusionDPO.loss_at_start(cfg)
    assert DiffusionDPO.logit_scale(cfg) == DiffusionDPO.logit_scale(DiffusionDPOConfig()) == 2500


@pytest.mark.parametrize(
    ("method", "options", "settled"),
    [
        ("diffusion-dpo", ["method.loss=dpo", "method.safeguard=null", "method.alpha=0.2"], False),
        ("diffusion-dpo", ["method.loss=dmpo"], True),
        ("diffusion-dpo", ["method.safeguard=0"], True),
        ("dspo", ["method.safeguard=null"], False),
        ("dspo", ["method.safeguard=0.2"], True),
    ],
)
def test_options_that_are_off_change_no_run(method: str, options: list[str], settled: bool) -> None:
    plain, run = settings(method), settings(method, *options)
    assert not {"loss", "alpha", "safeguard"} & set(plain.settings)
    assert (run.digest != plain.digest) is settled
    assert run.method_config.model_dump(mode="json") == run.settings


def test_an_alpha_without_dmpo_is_told() -> None:
    [line] = remarks(settings("diffusion-dpo", "method.alpha=0.1"), "shapes", ["method.alpha=0.1"])
    assert "method.alpha has no effect here: method.loss is dpo" in line
    words = ["method.alpha=0.1", "method.loss=dmpo"]
    assert remarks(settings("diffusion-dpo", *words), "shapes", words) == []


def test_presets_have_the_launchers_numbers() -> None:
    def shown(method: str, preset: str) -> list[object]:
        run = settings(method, preset=preset)
        names = ("loss", "alpha", "form", "beta", "safeguard")
        return [*(run.settings[name] for name in names if name in run.settings), round(run.train.lr, 9)]

    assert shown("diffusion-dpo", "sdpo") == [5000, 0.9, 2.048e-5]
    assert shown("diffusion-dpo", "sdpo-sdxl") == [5000, 0.6, 2.048e-6]
    assert shown("diffusion-dpo", "dmpo") == ["dmpo", 0.01, 2000, 2.048e-5]
    assert shown("dspo", "sdpo") == ["sd15", 0.001, 0.2, 2.048e-5]
    assert shown("dspo", "sdpo-sdxl") == ["sdxl", 5000, 0.6, 2.048e-6]

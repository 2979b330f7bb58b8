"""The offline losses equal values computed by hand, in float64 (methods.md F1-F6, O1-O6, KTO, MaPO)."""

from __future__ import annotations

import math

import pytest
import torch

from benchbench.losses import diffusion_dpo, dspo_energy, dspo_reference, dspo_score, kto, mapo, pair_logit, phi

SHAPE = (2, 4, 3, 3)


def value(x: float, grad: bool = False) -> torch.Tensor:
    return torch.tensor([x], dtype=torch.float64, requires_grad=grad)


def draw(seed: int) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mse(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a - b).square().flatten(1).mean(1)


def dpo(m_w: torch.Tensor, m_l: torch.Tensor, q_w: torch.Tensor, q_l: torch.Tensor, beta: float) -> torch.Tensor:
    return diffusion_dpo(pair_logit(m_w, m_l, q_w, q_l, 0.5 * beta))


class Pair:
    """A winner's and a loser's noise and predictions; ``moved`` says whether the policy differs from the reference."""

    def __init__(self, moved: bool) -> None:
        self.eps, self.ref_w, self.ref_l = draw(0), draw(1), draw(2)
        self.theta_w = (self.ref_w + (0.3 * draw(3) if moved else 0)).requires_grad_()
        self.theta_l = (self.ref_l + (0.3 * draw(4) if moved else 0)).requires_grad_()

    def z(self, beta: float) -> torch.Tensor:
        errors = [mse(e, self.eps) for e in (self.theta_w, self.theta_l, self.ref_w, self.ref_l)]
        return pair_logit(errors[0], errors[1], errors[2], errors[3], 0.5 * beta)

    @property
    def d(self) -> torch.Tensor:
        return self.theta_w - self.eps

    @property
    def p(self) -> torch.Tensor:
        return self.theta_w - self.ref_w

    def gradients(self, loss: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        g = torch.autograd.grad(loss.sum(), [self.theta_w, self.theta_l], allow_unused=True)
        return tuple(torch.zeros(SHAPE, dtype=torch.float64) if x is None else x for x in g)  # type: ignore[return-value]


def test_dpo_at_the_reference_is_log_two() -> None:
    """F1: m = q on both sides, so the logit is exactly 0 and the loss log 2."""
    assert float(dpo(value(0.2), value(0.3), value(0.2), value(0.3), 5000)) == math.log(2)


def test_dpo_by_hand() -> None:
    """With m = (.10, .12), q = (.11, .12), beta 100: z = -50 (-.02 + .01) = .5; loss = log(1 + e^-.5) = .474077."""
    assert float(dpo(value(0.10), value(0.12), value(0.11), value(0.12), 100)) == pytest.approx(0.4740770, abs=1e-6)


def test_swapping_winner_and_loser() -> None:
    """F2: P(w over l) + P(l over w) = 1."""
    m_w, m_l, q_w, q_l = value(0.1), value(0.3), value(0.15), value(0.25)
    there, back = dpo(m_w, m_l, q_w, q_l, 20), dpo(m_l, m_w, q_l, q_w, 20)
    assert float((-there).exp() + (-back).exp()) == pytest.approx(1, abs=1e-12)


def test_dpo_gradient() -> None:
    """F4: dL/dm_w = beta/2 (1 - sigmoid z) > 0 and dL/dm_l = -dL/dm_w: descent lowers m_w and raises m_l.

    beta 100 and z = .5 as above: 50 (1 - .622459) = 18.87703.
    """
    m_w, m_l = value(0.10, True), value(0.12, True)
    dpo(m_w, m_l, value(0.11), value(0.12), 100).sum().backward()
    assert m_w.grad is not None and m_l.grad is not None
    assert (float(m_w.grad), float(m_l.grad)) == pytest.approx((18.8770331, -18.8770331), abs=1e-6)


def test_a_constant_on_both_errors_changes_nothing() -> None:
    """F5: errors enter by differences."""
    loss = dpo(value(0.1), value(0.3), value(0.2), value(0.25), 30)
    shifted = dpo(value(0.6), value(0.8), value(0.2), value(0.25), 30)
    assert float(loss) == pytest.approx(float(shifted), abs=1e-12)


@pytest.mark.parametrize("beta", [0.001, 0.5])
def test_dspo_at_the_reference_is_sft_with_a_scaled_gradient(beta: float) -> None:
    """O1: p = 0, so the loss is m_w; d/dtheta is 2 (1 - beta s) d, s = 1/2; the part through z has the factor p."""
    pair = Pair(moved=False)
    loss = dspo_score(pair.d, pair.p, pair.z(beta), beta)
    sft = mse(pair.theta_w, pair.eps)
    assert torch.equal(loss, sft)
    g, plain = pair.gradients(loss)[0], pair.gradients(mse(pair.theta_w, pair.eps))[0]
    torch.testing.assert_close(g, (1 - beta / 2) * plain, rtol=1e-12, atol=1e-14)


def test_sdxl_form_at_the_reference() -> None:
    """O2: the loss is (1 - 1/2)² = 1/4, and its d/dz = -2 (1 - s)² s = -1/4 is half of DPO's, -(1 - s) = -1/2."""
    pair = Pair(moved=False)
    loss = dspo_reference(pair.p, pair.z(5000), 0.1)
    assert loss.tolist() == [0.25, 0.25]
    g, plain = pair.gradients(loss), pair.gradients(diffusion_dpo(pair.z(5000)))
    for gradient, expected in zip(g, plain, strict=True):
        torch.testing.assert_close(gradient, 0.5 * expected, rtol=1e-12, atol=1e-14)


def test_small_beta_is_sft() -> None:
    """O3: away from the reference the loss is m_w + O(beta)."""
    pair = Pair(moved=True)
    sft = mse(pair.theta_w, pair.eps)
    gap = [float((dspo_score(pair.d, pair.p, pair.z(b), b) - sft).abs().max().detach()) for b in (1e-2, 1e-3)]
    assert gap[1] < 1e-3 and gap[0] / gap[1] == pytest.approx(10, rel=0.05)


def test_eq_46_teaches_nothing_at_the_reference() -> None:
    """O4: with p = 0 the form ((1 - s) p)² and its gradient are exactly 0; a switch of 0 takes it everywhere."""
    pair = Pair(moved=False)
    loss = dspo_reference(pair.p, pair.z(5000), 0.0)
    assert loss.tolist() == [0, 0]
    assert all(float(g.abs().sum()) == 0 for g in pair.gradients(loss))


def test_the_switch_of_the_sdxl_form() -> None:
    """p = 1/2 has mean square .25: below a switch of .3 the loss is (1 - s)² = .25, above one of .2 it is .25 x .25.

    DSPO-ref has no switch and always takes the first form.
    """
    p, z = torch.full(SHAPE, 0.5, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    assert dspo_reference(p, z, 0.3).tolist() == [0.25, 0.25]
    assert dspo_reference(p, z, 0.2).tolist() == [0.0625, 0.0625]
    assert dspo_reference(100 * p, z, None).tolist() == [0.25, 0.25]


def test_dspo_s_minimiser() -> None:
    """O5: for a fixed s' = 1 - sigmoid(z), d - c p = 0 with c = beta s' at theta = (eps - c ref)/(1 - c)."""
    eps, ref = draw(0), draw(1)
    z, beta = torch.tensor([0.4, -1.0], dtype=torch.float64), 0.6
    c = (beta * (1 - torch.sigmoid(z))).reshape(-1, 1, 1, 1)
    best = (eps - c * ref) / (1 - c)
    assert float(dspo_score(best - eps, best - ref, z, beta).max()) < 1e-28
    assert (
        float(dspo_energy((eps - beta * ref) / (1 - beta) - eps, (eps - beta * ref) / (1 - beta) - ref, beta).max())
        < 1e-28
    )


def test_the_loser_is_reached_through_the_sigmoid_alone() -> None:
    """O6: with the sigmoid held fixed the loser has no gradient, else one of order beta², so .1 of beta gives .01."""
    pair = Pair(moved=True)
    fixed = dspo_score(pair.d, pair.p, pair.z(0.1).detach(), 0.1)
    assert float(pair.gradients(fixed)[1].abs().sum()) == 0
    sizes = [float(pair.gradients(dspo_score(pair.d, pair.p, pair.z(b), b))[1].abs().sum()) for b in (1e-2, 1e-3)]
    assert sizes[1] > 0 and sizes[0] / sizes[1] == pytest.approx(100, rel=0.02)


def test_energy_form_is_sft_on_an_extrapolated_target() -> None:
    """The loss is (1-c)² ||theta - (eps - c ref)/(1-c)||², the identity for eq. 45 in methods.md."""
    pair, c = Pair(moved=True), 0.3
    target = (pair.eps - c * pair.ref_w) / (1 - c)
    torch.testing.assert_close(dspo_energy(pair.d, pair.p, c), (1 - c) ** 2 * mse(pair.theta_w, target))


def test_kto_at_the_reference_and_its_gradient() -> None:
    """With g = z0 = 0 the loss is 1 - sigmoid(0) = 1/2, and dL/dg = -y beta/4: -250 where preferred, else +250."""
    g = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    loss = kto(g, torch.zeros(2, dtype=torch.float64), torch.tensor([1.0, -1.0], dtype=torch.float64), 1000)
    assert loss.tolist() == [0.5, 0.5]
    loss.sum().backward()
    assert g.grad is not None and g.grad.tolist() == [-250, 250]


def test_kto_by_hand() -> None:
    """g = .003, z0 = .001, beta = 1000 give 1 - sigmoid(2) = .119203 if preferred, else 1 - sigmoid(-2) = .880797."""
    g, z0 = torch.full((2,), 0.003, dtype=torch.float64), torch.full((2,), 0.001, dtype=torch.float64)
    loss = kto(g, z0, torch.tensor([1.0, -1.0], dtype=torch.float64), 1000)
    assert loss.tolist() == pytest.approx([0.1192029, 0.8807971], abs=1e-6)


def test_mapo_by_hand() -> None:
    """With m_w = m_l the loss is m + beta log 2 = .3 + .1 x .693147 = .369315.

    With m = (.1, .2), s = .5: phi = .05/(e^.05 - 1) = .9752083 and .1/(e^.1 - 1) = .9508332; with T = 10 the logit is
    .243751, and the loss .1 + .1 log(1 + e^-.243751) = .1578677.
    """
    assert float(mapo(value(0.3), value(0.3), 0.1, 0.5, 1000)) == pytest.approx(0.3693147, abs=1e-6)
    by_hand = 0.1 + 0.1 * math.log1p(math.exp(-10 * (0.05 / math.expm1(0.05) - 0.1 / math.expm1(0.1))))
    assert float(mapo(value(0.1), value(0.2), 0.1, 0.5, 10)) == pytest.approx(by_hand, abs=1e-12)
    assert by_hand == pytest.approx(0.1578677, abs=1e-6)


def test_phi() -> None:
    """phi(0) = 1 with slope -s/2 = -.25; phi falls, is smooth where its series ends, and never overflows in float32."""
    m = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    at_zero = phi(m, 0.5)
    at_zero.sum().backward()
    assert float(at_zero.detach()) == 1 and m.grad is not None and float(m.grad) == -0.25
    m = torch.linspace(0, 5, 200, dtype=torch.float64)
    assert bool((phi(m, 0.5).diff() < 0).all())
    edge = torch.tensor([1.999e-3, 2.001e-3], dtype=torch.float64)
    torch.testing.assert_close(phi(edge, 0.5), 0.5 * edge / torch.expm1(0.5 * edge), rtol=1e-13, atol=0)
    far = torch.tensor([1e3], requires_grad=True)
    phi(far, 0.5).sum().backward()
    assert far.grad is not None and bool(far.grad.isfinite().all()) and float(phi(far.detach(), 0.5)) == 0


def test_mapo_gradient_signs() -> None:
    """Descent lowers the winner's error and raises the loser's, by beta T (1 - sigma) |phi'|, as phi falls with m."""
    m_w, m_l = value(0.1, True), value(0.1, True)
    mapo(m_w, m_l, 0.1, 0.5, 1000).sum().backward()
    slope = (math.expm1(0.05) - 0.05 * math.exp(0.05)) / math.expm1(0.05) ** 2 * 0.5
    assert m_w.grad is not None and m_l.grad is not None
    assert float(m_w.grad) == pytest.approx(1 - 0.1 * 1000 * 0.5 * slope) and float(m_l.grad) == pytest.approx(
        0.1 * 1000 * 0.5 * slope
    )

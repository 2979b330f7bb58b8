"""SPO: candidates, scoring, pairs, resampling and cost (methods.md S1-S4, S6)."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError

from benchbench.api import Metrics, Reward, StepPairs
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.guidance import StepReward, look_ahead
from benchbench.diffusion.policy import Policy
from benchbench.diffusion.rollout import NoiseSource
from benchbench.methods._candidates import draw_candidates
from benchbench.methods.spo import SPO, SPOConfig, least_gap, paired_steps
from benchbench.noise import Noise, Sample
from tests.methods.descent import descend
from tests.methods.rewards import Brightness, StepBrightness, Tied

SAMPLES = [Sample("cat", 0), Sample("dog", 1, 1), Sample("ant", 2, 2)]
PROMPTS = [s.prompt for s in SAMPLES]
NOISE = Noise(0, "train")
ALL = SPOConfig(threshold=0.0, minibatch=1000)  # every pair whose scores differ, in one batch


def collect(policy: Policy, cfg: SPOConfig = ALL, reward: Reward | None = None) -> list[tuple[StepPairs, Metrics]]:
    step_reward = StepReward(Decoder(policy.backbone), reward or StepBrightness(), policy)
    with torch.no_grad():
        return list(SPO().collect(policy, SAMPLES, step_reward, cfg, NOISE))


def at(pairs: StepPairs, k: int) -> StepPairs:
    """Returns the pairs of step k, sorted by their parents, which all differ."""
    rows = pairs[pairs.k == k]
    return rows[rows.x_w.flatten(1)[:, 0].argsort()]


def test_sixteen_steps_at_timesteps_up_to_751(policy: Policy) -> None:
    """S4: with T = 20, kappa = 750 keeps k = 16..1, timesteps 751, 701, ..., 1; kappa = 250 keeps six, 251, ..., 1."""
    ks = paired_steps(750, policy.schedule)
    assert ks == tuple(range(16, 0, -1))
    assert policy.schedule.tau[list(ks)].tolist() == list(range(751, 0, -50))
    assert len(paired_steps(250, policy.schedule)) == 6 and len(paired_steps(1000, policy.schedule)) == 20


def test_threshold_is_a_gap_of_scores() -> None:
    """S2: P(best) - P(worst) of softmax(s_b, s_w) is tanh(gap/2): .3 is a gap of log(1.3/.7) = .61904, .4 of .8473."""
    assert least_gap(0.3) == pytest.approx(0.619039, abs=1e-6) and least_gap(0.4) == pytest.approx(0.847298, abs=1e-6)
    for threshold in (0.1, 0.3, 0.9):
        best, worst = torch.tensor([least_gap(threshold), 0.0], dtype=torch.float64).softmax(0)
        assert float(best - worst) == pytest.approx(threshold)


def test_pairs_share_their_parent(tuned: Policy) -> None:
    """S3: winner and loser leave one x, the very same tensor, at every step from 16 down, also in a minibatch."""
    [(pairs, _)] = collect(tuned)
    assert pairs.shared_parent and pairs.x_w is pairs.x_l
    assert sorted(set(pairs.k.tolist())) == list(range(1, 17)) and len(pairs) == 48
    (first, *rest) = [batch for batch, _ in collect(tuned, SPOConfig(threshold=0.0, minibatch=10))]
    assert (
        first.shared_parent and first.x_w is first.x_l and [len(b) for b in (first, *rest)] == [10, 10, 10, 10, 8]
    )  # the rest is kept


def test_the_reward_gets_the_timestep_of_the_candidates(tuned: Policy) -> None:
    """Candidates of step k lie at timestep tau_(k-1): 701, 651, ..., 1; the last ones are scored as clean images."""
    reward = StepBrightness()
    collect(tuned, reward=reward)
    assert reward.told == list(range(701, 0, -50))


def test_best_and_worst_of_four(tuned: Policy) -> None:
    """S2: winner and loser are the best and worst of four candidates, which are scored here in turn."""
    [(pairs, _)] = collect(tuned)
    draws, cond = NoiseSource(tuned, NOISE, SAMPLES), tuned.encode(PROMPTS)
    step_reward = StepReward(Decoder(tuned.backbone), StepBrightness(), tuned)
    rows = pairs[pairs.k == 16]
    with torch.no_grad():
        x = draws.start()
        for k in (20, 19, 18, 17):
            x = tuned.step(x, k, cond).draw(draws.z(k))
        step = tuned.step(x, 16, cond)
        candidates = [step.draw(draws.z(16, str(i))) for i in range(4)]
        scores = torch.stack([look_ahead(tuned, step_reward, c, 15, cond, PROMPTS)[0] for c in candidates])
    for i in range(3):
        (row,) = [j for j in range(3) if torch.allclose(rows.x_w[j], x[i], atol=1e-2)]
        for taken, extreme in ((rows.next_w[row], scores[:, i].max()), (rows.next_l[row], scores[:, i].min())):
            (which,) = [n for n in range(4) if torch.allclose(taken, candidates[n][i], atol=1e-2)]
            assert float(scores[which, i]) == pytest.approx(float(extreme), abs=1e-4)  # scored here in other batches


def test_a_random_candidate_carries_on(tuned: Policy) -> None:
    """S3: the next parent is the candidate of the step before that the sample's random number selects."""
    [(pairs, _)] = collect(tuned)
    draws, cond = NoiseSource(tuned, NOISE, SAMPLES), tuned.encode(PROMPTS)
    for k in (16, 9, 2):
        parents = {i: next(x for x in at(pairs, k).x_w if close(x, pairs, k, i, draws, cond, tuned)) for i in range(3)}
        assert len({tuple(p.flatten().tolist()) for p in parents.values()}) == 3


def close(x: torch.Tensor, pairs: StepPairs, k: int, i: int, draws: NoiseSource, cond, tuned: Policy) -> bool:
    """Returns True where the candidate of x that sample i's random number selects is a parent at k - 1."""
    with torch.no_grad():
        mean = tuned.step(x[None], k, cond[i : i + 1])
    number = int(draw_candidates(4, NOISE, SAMPLES, k, torch.device("cpu"))[i])
    child = mean.draw(draws.z(k, str(number))[i : i + 1])[0]
    return any(torch.allclose(child, parent, atol=1e-2) for parent in at(pairs, k - 1).x_w)


def test_draws_are_uniform() -> None:
    """In 2,000 draws of 4 numbers, each has the share .25 ± .04 (4 standard errors of .0097)."""
    drawn = draw_candidates(4, NOISE, [Sample("cat", i) for i in range(2000)], 7, torch.device("cpu"))
    assert ((torch.bincount(drawn, minlength=4) / 2000 - 0.25).abs() < 0.04).all()


@pytest.mark.parametrize(("resample", "side"), [("win", "next_w"), ("lose", "next_l")])
def test_the_winner_or_the_loser_may_carry_on(tuned: Policy, resample: str, side: str) -> None:
    """In Table 3's variants that collapse, the next parents are exactly the winners, or the losers."""
    [(pairs, _)] = collect(tuned, ALL.model_copy(update={"resample": resample}))
    for k in (16, 5, 2):
        before = {tuple(x.flatten().tolist()) for x in getattr(pairs[pairs.k == k], side)}
        assert before == {tuple(x.flatten().tolist()) for x in pairs[pairs.k == k - 1].x_w}


def test_independent_trajectories(tuned: Policy) -> None:
    """With resample=none, k trajectories start at one x_T and stay apart; they give k images, and nothing is reused."""
    cfg = ALL.model_copy(update={"resample": "none", "candidates": 3})
    [(pairs, _)] = collect(tuned, cfg)
    assert not pairs.shared_parent and not torch.equal(pairs.x_w, pairs.x_l)
    assert SPO.images(cfg) == 3 and SPO.images(ALL) == 1
    assert (tuned.cost.unet_evals, tuned.cost.reward_calls) == (3 * 20 * 3, 3 * 16 * 3)


def test_cost_of_a_prompt(tuned: Policy) -> None:
    """A prompt takes 4 plain steps, the first branching one, and 15 x 4 look-aheads: 65 evaluations and 64 decodes."""
    collect(tuned)
    assert (tuned.cost.unet_evals, tuned.cost.reward_calls, tuned.cost.pairs) == (65 * 3, 64 * 3, 16 * 3)


def test_ties_and_small_gaps_make_no_pair(tuned: Policy) -> None:
    """S2: equal scores are invalid at any threshold; a threshold of .999 needs a gap of 7.6, which none has."""
    assert collect(tuned, reward=Tied()) == []
    assert collect(tuned, SPOConfig(threshold=0.999)) == []


def test_a_constant_added_to_a_prompt_s_scores_changes_nothing(tuned: Policy) -> None:
    """S6: 2 is added for cats and nothing for the others."""

    class Shifted(StepBrightness):
        def score_differentiable(self, images, prompts):
            return super().score_differentiable(images, prompts) + torch.tensor([2.0 * (p == "cat") for p in prompts])

    [(a, _)], [(b, _)] = collect(tuned), collect(tuned, reward=Shifted())
    assert torch.equal(a.next_w, b.next_w) and torch.equal(a.next_l, b.next_l) and torch.equal(a.k, b.k)


def test_any_two_candidates_may_make_the_pair(tuned: Policy) -> None:
    """Table 8: any two candidates may pair, the better one wins, and their gap is below that of best and worst."""
    [(pairs, metrics)], [(_, extremes)] = collect(tuned, ALL.model_copy(update={"pair": "random"})), collect(tuned)
    assert pairs.shared_parent and pairs.x_w is pairs.x_l and not any(map(torch.equal, pairs.next_w, pairs.next_l))
    assert 0 <= float(metrics["score_gap"]) < float(extremes["score_gap"])


def test_inner_steps_make_segments_of_pairs(tuned: Policy) -> None:
    """For SDXL 2 candidates continue separately for 4 steps, and each of the 4 segments gives 4 pairs.

    A segment's first pair has one parent; in the others each side has its own, the segment's previous sample. The cost
    is 4 + 1 + 2 x 15 = 35 evaluations and 8 decodes.
    """
    cfg = ALL.model_copy(update={"candidates": 2, "inner_steps": 4})
    [(pairs, _)] = collect(tuned, cfg)
    assert sorted(set(pairs.k.tolist())) == list(range(1, 17))
    for k in range(1, 17):
        rows = pairs[pairs.k == k]
        assert torch.equal(rows.x_w, rows.x_l) == (k in (16, 12, 8, 4))
    arrived = {tuple(x.flatten().tolist()) for x in pairs[pairs.k == 15].next_w}
    assert arrived == {tuple(x.flatten().tolist()) for x in pairs[pairs.k == 14].x_w}
    assert (tuned.cost.unet_evals, tuned.cost.reward_calls) == (35 * 3, 8 * 3)
    with pytest.raises(ValidationError, match="segments"):
        SPOConfig(inner_steps=2, resample="none")


def test_loss_at_the_reference_and_its_descent(tuned: Policy) -> None:
    """S1: with theta = ref the loss is log 2, and a step of descent raises winners over losers."""
    [(pairs, _)] = collect(tuned)
    descend(tuned, lambda: SPO().loss(tuned, pairs, ALL, NOISE), fall=1e-2)
    with torch.no_grad():
        for name, parameter in tuned.backbone.network.named_parameters():
            if ".lora_B." in name:
                parameter.zero_()
        loss, _ = SPO().loss(tuned, pairs, ALL, NOISE)
    assert float(loss) == pytest.approx(math.log(2), abs=1e-5)


def test_needs_a_step_aware_reward_unless_told_otherwise(tuned: Policy) -> None:
    assert "step_scorer" in SPO.needs(SPOConfig()) and "step_scorer" not in SPO.needs(SPOConfig(step_aware=False))
    assert len(collect(tuned, reward=Brightness())) == 1  # a plain reward scores x̂0, as in the paper's ablation

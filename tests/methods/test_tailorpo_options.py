"""TailorPO's options: trained steps, the candidate to continue from, accepted guidance, Table 10's components."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from benchbench.api import Metrics, StepPairs
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.guidance import StepReward, look_ahead
from benchbench.diffusion.policy import Policy
from benchbench.diffusion.rollout import NoiseSource
from benchbench.errors import UsageError
from benchbench.methods._candidates import draw_candidates, mean_metrics, rank, select_rows
from benchbench.methods._steps import trained_steps
from benchbench.methods.tailorpo import TailorPO, TailorPOConfig, eta_at
from benchbench.methods.tailorpo_g import TailorPOG
from benchbench.noise import Noise, Sample
from tests.methods.rewards import Brightness

SAMPLES = [Sample("cat", 0), Sample("dog", 1, 1), Sample("ant", 2, 2)]
PROMPTS = [s.prompt for s in SAMPLES]
NOISE = Noise(0, "train")


def collect(policy: Policy, cfg: TailorPOConfig) -> list[tuple[StepPairs, Metrics]]:
    step_reward = StepReward(Decoder(policy.backbone), Brightness(), policy)
    with torch.no_grad():
        return list(TailorPO().collect(policy, SAMPLES, step_reward, cfg, NOISE))


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (5, (20, 16, 12, 8, 4)),
        (10, (20, 18, 16, 14, 12, 10, 8, 6, 4, 2)),
        (3, (20, 13, 7)),
        ((4, 12, 12, 20), (20, 12, 4)),
        ("all", tuple(range(20, 0, -1))),
    ],
)
def test_trained_steps(policy: Policy, steps, expected) -> None:
    """T12: T_fine-tune is 5 or 10 of 20; 3 steps are round(20), round(13.3), round(6.7); a list is sorted."""
    assert trained_steps(TailorPOConfig(steps=steps).steps, policy.schedule) == expected


@pytest.mark.parametrize("steps", [21, (21,), (0,)])
def test_steps_that_no_sampler_visits_are_refused(policy: Policy, steps) -> None:
    with pytest.raises(UsageError, match=r"method.steps"):
        trained_steps(TailorPOConfig(steps=steps).steps, policy.schedule)


def test_eta_may_be_a_constant() -> None:
    cfg = TailorPOConfig(eta=0.2)
    assert [eta_at(k, 20, cfg.eta) for k in (20, 8, 1)] == [0.2, 0.2, 0.2]


def test_ranking_by_hand() -> None:
    """With rewards (1, 5, 2 | 3, 4, 2), candidate 1 wins row 0, candidate 0 row 1, and row 2 is a tie, where 0 wins."""
    win, lose, weight = rank(torch.tensor([1.0, 5.0, 2.0, 3.0, 4.0, 2.0]))
    assert (win.tolist(), lose.tolist(), weight.tolist()) == ([3, 1, 2], [0, 4, 5], [1, 1, 0])


def test_selected_rows() -> None:
    a, b = torch.ones(2, 1, 1, 1), torch.zeros(2, 1, 1, 1)
    assert select_rows(torch.tensor([True, False]), a, b).flatten().tolist() == [1, 0]
    assert select_rows(torch.tensor([True, False]), None, None) is None


def test_mean_metrics_are_over_the_steps_that_report_them() -> None:
    assert mean_metrics([{"a": 1.0}, {"a": 3.0, "b": 5.0}]) == {"a": 2.0, "b": 5.0}


def test_a_random_candidate_carries_on(tuned: Policy) -> None:
    """The next parent is the winner where the sample's random bit is 1, else the loser; nothing is computed twice."""
    [(pairs, _)] = collect(tuned, TailorPOConfig(steps=(20, 19, 18, 17), carry="random"))
    heads = {k: draw_candidates(2, NOISE, SAMPLES, k, torch.device("cpu")).bool() for k in (20, 19, 18)}
    assert len({tuple(coin.tolist()) for coin in heads.values()}) > 1
    for k, coin in heads.items():
        at, after = pairs[pairs.k == k], pairs[pairs.k == k - 1]
        assert torch.equal(after.x_w, select_rows(coin, at.next_w, at.next_l))
    # 20 steps + 2 look-aheads at each of 4 steps - the 4 that are reused for the candidates that continue
    assert tuned.cost.unet_evals == (20 + 8 - 4) * 3


def test_coins_are_fair_and_a_sample_s_own() -> None:
    """The mean of 2,000 fair bits lies within .5 ± .045 (4 standard errors); the batch does not matter."""
    many = [Sample("cat", i) for i in range(2000)]
    drawn = draw_candidates(2, NOISE, many, 7, torch.device("cpu"))
    assert abs(float(drawn.float().mean()) - 0.5) < 0.045
    assert torch.equal(draw_candidates(2, NOISE, many[5:9], 7, torch.device("cpu")), drawn[5:9])


@pytest.mark.parametrize(("eta", "accepted"), [(10.0, 1.0), (-10.0, 0.0)])
def test_guidance_is_taken_only_where_it_is_better(tuned: Policy, eta: float, accepted: float) -> None:
    """T7: a step up the gradient is accepted everywhere and gives x+; a step down is refused and leaves x_w."""
    cfg = TailorPOG.Config(steps=(12,), eta=eta, accept="better")
    [(always, _)] = collect(tuned, cfg.model_copy(update={"accept": "always"}))
    [(better, metrics)], [(unguided, _)] = collect(tuned, cfg), collect(tuned, TailorPOConfig(steps=(12,)))
    assert float(metrics["accepted"]) == accepted
    assert torch.equal(better.next_w, always.next_w if accepted else unguided.next_w)
    step_reward, cond = StepReward(Decoder(tuned.backbone), Brightness(), tuned), tuned.encode(PROMPTS)
    with torch.no_grad():
        r_taken, r_w = (look_ahead(tuned, step_reward, p.next_w, 11, cond, PROMPTS)[0] for p in (better, unguided))
    assert (r_taken >= r_w).all()


def test_accepting_costs_a_reward_and_no_evaluation_more(tuned: Policy) -> None:
    """With accept=always, continuing from x+ makes 25 + 5 = 30 evaluations, 5 gradients, 15 rewards.

    With accept=better the look-ahead at x+ is reused as the next step: 30 evaluations again, and 20 rewards.
    """
    costs = []
    for accept in ("always", "better"):
        before = tuned.cost.unet_evals, tuned.cost.unet_grads, tuned.cost.reward_calls
        collect(tuned, TailorPOG.Config(accept=accept, eta=0.2))
        after = tuned.cost.unet_evals, tuned.cost.unet_grads, tuned.cost.reward_calls
        costs.append(tuple((b - a) // 3 for a, b in zip(before, after, strict=True)))
    assert costs == [(30, 5, 15), (30, 5, 20)]


def test_two_trajectories_are_ranked_step_by_step(tuned: Policy) -> None:
    """Table 10, row 1: both sides start at one x_T, and each next parent is on its own trajectory."""
    [(pairs, metrics)] = collect(tuned, TailorPOConfig(steps=(20, 19, 10), same_input=False))
    at20, at19, at10 = (pairs[pairs.k == k] for k in (20, 19, 10))
    assert torch.equal(at20.x_w, at20.x_l) and not pairs.shared_parent
    for row in range(3):
        parents = {tuple(x[row].flatten().tolist()) for x in (at19.x_w, at19.x_l)}
        children = {tuple(x[row].flatten().tolist()) for x in (at20.next_w, at20.next_l)}
        assert parents == children  # the same two, perhaps in the other order
    assert not torch.equal(at10.x_w, at10.x_l)
    # two trajectories of 20 steps, and every look-ahead is reused as the next step
    assert (tuned.cost.unet_evals, tuned.cost.reward_calls) == (40 * 3, 6 * 3)
    assert "reward" in metrics and TailorPO.images(TailorPOConfig(same_input=False)) == 2


def test_two_trajectories_start_as_d3po_s_do(tuned: Policy) -> None:
    [(pairs, _)] = collect(tuned, TailorPOConfig(steps=(20,), same_input=False))
    assert torch.equal(pairs.x_w, NoiseSource(tuned, NOISE, SAMPLES).start())


@pytest.mark.parametrize("other", [{"guidance": True}, {"carry": "random"}])
def test_two_trajectories_have_no_common_winner(other: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="both trajectories"):
        TailorPOConfig(same_input=False, **other)


def test_training_reward_is_that_of_the_last_trained_step(tuned: Policy) -> None:
    """Both values of update log the winner's reward at the last trained step, and means of the other metrics."""
    [(_, at_once)] = collect(tuned, TailorPOConfig())
    parts = [metrics for _, metrics in collect(tuned, TailorPOConfig(update="step"))]
    assert [("reward" in metrics) for metrics in parts] == [False] * 4 + [True]
    # rewards here are about .5 and their gaps .001; both are as exact as the rewards
    assert float(parts[-1]["reward"]) == pytest.approx(float(at_once["reward"]), abs=1e-5)
    assert float(at_once["reward_gap"]) == pytest.approx(sum(float(m["reward_gap"]) for m in parts) / 5, abs=1e-5)

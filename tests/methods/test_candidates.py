"""Dominance over several rewards: at least as good in all and better in one, as D3PO's released comparison has it."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from benchbench.api import Reward, StepPairs
from benchbench.config import load
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.policy import Policy
from benchbench.errors import UsageError
from benchbench.methods._candidates import rank_by_dominance
from benchbench.methods.d3po import D3PO, D3POConfig
from benchbench.noise import Noise, Sample
from benchbench.rewards.mix import Ensemble, Statistics
from benchbench.runtime.distributed import ProcessGroup
from tests.methods.rewards import Brightness, Ranked

SAMPLES = [Sample("cat", 0), Sample("dog", 1, 1), Sample("ant", 2, 2)]
CFG = D3POConfig(minibatch=3, steps=(20, 1), dominance=True)


def mix(weight: float, calibrated: bool = True) -> Ensemble:
    """The mix brightness=1,ranked=WEIGHT: both rise with brightness."""

    class Mix(Ensemble):
        name = f"brightness=1,ranked={weight:g}"
        version, weights, differentiable = "1", "none", True
        reward_classes: ClassVar[dict[str, type[Reward]]] = {"brightness": Brightness, "ranked": Ranked}

    reward = Mix()
    if calibrated:
        reward.statistics = {"brightness": Statistics(0.5, 0.1, 9), "ranked": Statistics(0.0, 1e9, 9)}
    return reward


def collect(policy: Policy, reward: Reward, cfg: D3POConfig) -> list[StepPairs]:
    step_reward = StepReward(Decoder(policy.backbone), reward, policy)
    with torch.no_grad():
        return [batch for batch, _ in D3PO().collect(policy, SAMPLES, step_reward, cfg, Noise(0, "train"))]


def test_who_dominates_by_hand() -> None:
    """Better in both; better in one and equal in the other; better and worse; equal in both; worse in both."""
    first = torch.tensor([[2.0, 2.0], [1.0, 3.0], [5.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    second = torch.tensor([[1.0, 1.0], [1.0, 2.0], [0.0, 5.0], [1.0, 1.0], [1.0, 2.0]])
    win, lose, weight = rank_by_dominance(torch.cat([first, second]))
    assert weight.tolist() == [1, 1, 0, 0, 1]
    assert win.tolist() == [0, 1, 2, 3, 9] and lose.tolist() == [5, 6, 7, 8, 4]


def test_rewards_that_agree_rank_as_one_and_rewards_that_contradict_teach_nothing(tuned: Policy) -> None:
    """A negative weight turns its reward around, so that brighter is then better in one and worse in the other."""
    (alone,) = collect(tuned, Brightness(), D3POConfig(minibatch=3, steps=(20, 1)))
    (agreeing,) = collect(tuned, mix(1), CFG)
    assert torch.equal(agreeing.next_w, alone.next_w) and torch.equal(agreeing.weight, alone.weight)
    (contradicting,) = collect(tuned, mix(-1), CFG)
    assert float(contradicting.weight.abs().sum()) == 0 and float(alone.weight.sum()) > 0


def test_members_are_scored_once_and_the_sum_is_the_mix(tuned: Policy) -> None:
    reward = mix(-2)
    step_reward = StepReward(Decoder(tuned.backbone), reward, tuned)
    x, words = torch.randn(4, *tuned.backbone.latent_shape), ["a"] * 4
    with torch.no_grad():
        r, scores = step_reward.separate(x, words, "step 0")
        assert tuned.cost.reward_calls == 4
        assert torch.equal(r, step_reward(x, words, "step 0"))
        plain = StepReward(Decoder(tuned.backbone), Brightness(), tuned)
        assert torch.equal(scores[:, 0], plain(x, words, "step 0"))
        assert (scores[:, 1] < 0).all()  # its weight is negative
        _, own = plain.separate(x, words, "step 0")
        assert torch.equal(own[:, 0], scores[:, 0])
    assert step_reward.check(["a"] * 4) >= 0


def test_two_processes_score_their_shares(tuned: Policy) -> None:
    """Each process's rows are those of one process, and zeros stand for the other's: together they are the whole."""
    step_reward = StepReward(Decoder(tuned.backbone), mix(-2), tuned)
    x, words = torch.randn(5, *tuned.backbone.latent_shape), ["a"] * 5
    with torch.no_grad():
        r, scores = step_reward.separate(x, words, "step 0")
        parts = []
        for rank in range(2):
            tuned.processes = ProcessGroup(rank, 2)
            tuned.processes.all_reduce = lambda tensors: None  # type: ignore[method-assign]
            with tuned.processes.sharded():
                parts.append(step_reward.separate(x, words, "step 0"))
    for whole, shares in zip((r, scores), zip(*parts, strict=True), strict=True):
        assert torch.allclose(sum(shares), whole, atol=1e-5)
        assert (shares[0][3:] == 0).all() and (shares[1][:3] == 0).all()


def test_dominance_is_off_and_changes_no_run_that_does_not_name_it() -> None:
    plain = load("d3po", "shapes", "shapes-colour", "shapes-simple", 4, 0)
    assert "dominance" not in plain.settings and not D3POConfig.model_validate(plain.settings).dominance
    named = load("d3po", "shapes", "shapes-colour", "shapes-simple", 4, 0, overrides=["method.dominance=true"])
    assert named.settings["dominance"] is True and named.digest != plain.digest
    off = load("d3po", "shapes", "shapes-colour", "shapes-simple", 4, 0, overrides=["method.dominance=false"])
    assert off.digest == plain.digest


def test_votes_and_dominance_exclude_each_other() -> None:
    votes = "method.votes=[{prompt: a, index: 0, seed: 0, i: 0, j: 1, winner: 1}]"
    with pytest.raises(UsageError) as error:
        load("d3po", "shapes", "shapes-colour", "shapes-simple", 4, 0, overrides=["method.dominance=true", votes])
    assert error.value.cause.startswith("method.dominance=True") and "labels already" in error.value.cause

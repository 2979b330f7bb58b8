"""D3PO: DPO on every denoising step of two trajectories, labelled by which final image is preferred.

Yang et al., "Using Human Feedback to Fine-tune Diffusion Models without Any Reward Model", arXiv:2311.13231. A reward
labels the pair (released scripts/rm), or people's votes on earlier images do (scripts/train.py).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from pydantic import Field, SerializerFunctionWrapHandler, ValidationInfo, field_validator, model_serializer

from benchbench.api import (
    Method,
    MethodConfig,
    Metrics,
    Need,
    Noise,
    NoiseSource,
    Policy,
    Sample,
    StepPairs,
    StepReward,
    Visit,
    rollout,
)

from ._candidates import rank, rank_by_dominance
from ._step_pairs import LogProb, beta_without_effect, step_pair_loss
from ._steps import Steps, minibatches, trained_steps
from ._votes import Vote, Votes


class D3POConfig(MethodConfig):
    """Settings; the defaults are those of the released script (scripts/rm/train_d3po.py, config/base.py)."""

    steps: Steps = Field("all", description="trained steps: all [code], a number of them, or a list")
    timestep_fraction: float = Field(
        1.0, gt=0, le=1, description="share of the trained steps, drawn for each pair [code: 1]"
    )
    beta: float = Field(0.1, gt=0, description="temperature of the preference [code]")
    clip: float | None = Field(0.1, gt=0, lt=1, description="ratios are held within 1 ± clip [code]; null: paper, none")
    log_prob: LogProb = Field("mean", description="mean over latent dimensions [code]; sum: paper")
    inner_epochs: int = Field(1, ge=1, description="passes over one rollout [code]")
    minibatch: int = Field(1, ge=1, description="pairs per optimizer step, each with all trained steps [code]")
    votes: Votes = Field(
        (), description="file of people's votes on evaluation images of the base model; none: the reward"
    )
    dominance: bool = Field(
        False,
        description="of a mix: an image wins that is at least as good in every reward and better in one "
        "[code: compare]; false: the weighted sum",
    )

    @model_serializer(mode="wrap")
    def _without_unused(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves out ``dominance`` where it is false, so that runs have the ids that they always had."""
        return {name: value for name, value in dump(self).items() if value is not False or name != "dominance"}

    @field_validator("dominance")
    @classmethod
    def _votes_or_dominance(cls, value: bool, others: ValidationInfo) -> bool:
        if value and others.data.get("votes"):
            raise ValueError("people's votes are labels already: leave method.dominance or method.votes out")
        return value


class D3PO(Method[D3POConfig]):
    """DPO on every step of two trajectories, labelled by their final images.

    1. Sample two images from one x_T; 2. compare their rewards; 3. DPO on each step of both, each from its own parent.
    """

    name = "d3po"
    paper = "arXiv:2311.13231, Alg. 1"
    images_per_sample = 2
    Config = D3POConfig

    @classmethod
    def needs(cls, cfg: D3POConfig) -> frozenset[Need]:
        """Returns the need for a reference, the frozen base model."""
        return frozenset({"reference"})

    @classmethod
    def without_effect(cls, cfg: D3POConfig) -> dict[str, str]:
        """Returns ``beta`` where the clip keeps it without effect."""
        return beta_without_effect(cfg.beta, cfg.clip)

    def collect(
        self, policy: Policy, samples: Sequence[Sample], reward: StepReward, cfg: D3POConfig, noise: Noise
    ) -> Iterator[tuple[StepPairs, Metrics]]:
        """Rolls out a pair of images for each sample; yields one Batch for each minibatch of pairs."""
        n, ks = len(samples), trained_steps(cfg.steps, policy.schedule)
        if cfg.votes:
            votes = _votes_for(cfg.votes, samples, noise)
            cond = policy.encode([vote.prompt for vote in votes])
            with policy.adapter_off():  # people saw images of the base model
                visits = _rollout_of_votes(policy, votes)
            preferred = [(float(v.winner == v.i), float(v.winner == v.j)) for v in votes]
            r = scores = torch.tensor(preferred, device=visits[-1].x.device).T.reshape(-1)
            metrics: dict[str, float | torch.Tensor] = {}
        else:
            prompts = [s.prompt for s in samples]
            cond, draws = policy.encode(prompts), NoiseSource(policy, noise, samples)

            def draw(k: int) -> torch.Tensor:
                return torch.cat([draws.z(k, "a"), draws.z(k, "b")])

            x_T = draws.start()
            visits = list(rollout(policy, cond.repeat(2), torch.cat([x_T, x_T]), draw))
            if cfg.dominance:
                r, scores = reward.separate(visits[-1].x, prompts * 2, "step 0")
            else:
                r = scores = reward(visits[-1].x, prompts * 2, "step 0")
            metrics = {"reward": r.mean(), "reward_gap": (r[:n] - r[n:]).abs().mean()}

        win, lose, weight = rank_by_dominance(scores) if cfg.dominance else rank(scores)
        steps = []
        for visit, after in itertools.pairwise(visits):
            if visit.k in ks:
                k = torch.full((n,), visit.k, device=r.device)
                steps.append(StepPairs(visit.x[win], visit.x[lose], after.x[win], after.x[lose], k, cond, weight))

        policy.cost.pairs += n
        metrics["ties"] = 1 - weight.mean()
        for epoch in range(cfg.inner_epochs):
            batches = minibatches(steps, cfg.minibatch, cfg.timestep_fraction, noise, samples[0].number, epoch)
            for batch in batches:
                yield batch, metrics

    def loss(self, policy: Policy, batch: StepPairs, cfg: D3POConfig, noise: Noise) -> tuple[torch.Tensor, Metrics]:
        """Returns the mean of -log sigmoid(beta (log rho_w - log rho_l)), rho held within 1 ± clip."""
        return step_pair_loss(policy, batch, cfg.beta, cfg.clip, cfg.log_prob)


def _votes_for(votes: Sequence[Vote], samples: Sequence[Sample], noise: Noise) -> list[Vote]:
    """Returns one vote for each sample: epochs over the votes that are no ties, each epoch in a new random order."""
    votes = [vote for vote in votes if vote.winner is not None]
    n = len(votes)
    return [votes[noise.permutation(n, "votes", s.number // n)[s.number % n]] for s in samples]


def _rollout_of_votes(policy: Policy, votes: Sequence[Vote]) -> list[Visit]:
    """Returns the rollouts of image i of every vote, then of image j, from the noise that ``bench eval`` used."""
    images = [(v, Sample(v.prompt, v.i, v.index)) for v in votes]
    images += [(v, Sample(v.prompt, v.j, v.index)) for v in votes]
    sources = [NoiseSource(policy, Noise(v.seed, "eval"), [image], v.shared_start is True) for v, image in images]
    cond = policy.encode([image.prompt for _, image in images])
    x_T = torch.cat([source.start() for source in sources])
    return list(rollout(policy, cond, x_T, lambda k: torch.cat([source.z(k) for source in sources])))

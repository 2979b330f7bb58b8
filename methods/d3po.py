"""D3PO: DPO on every denoising step of two trajectories, labelled by which final image is preferred.

Yang et al., "Using Human Feedback to Fine-tune Diffusion Models without Any Reward Model", arXiv:2311.13231. The
preference is a reward's (released scripts/rm), or that of people's votes on images made before (scripts/train.py).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from pydantic import Field

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

from ._candidates import rank
from ._step_pairs import LogProb, step_pair_loss
from ._steps import Steps, minibatches, trained_steps
from ._votes import Vote, Votes


class D3POConfig(MethodConfig):
    """Defaults are those of the released reward-model script (scripts/rm/train_d3po.py, config/base.py)."""

    steps: Steps = Field("all", description="trained steps: all [code], a number of them, or a list")
    timestep_fraction: float = Field(1.0, gt=0, le=1, description="share of them, drawn for each pair [code: 1]")
    beta: float = Field(0.1, gt=0, description="temperature of the preference [code]")
    clip: float | None = Field(0.1, gt=0, lt=1, description="ratios are held within 1 ± clip [code]; null: paper, none")
    log_prob: LogProb = Field("mean", description="over latent dimensions [code]; sum: paper")
    inner_epochs: int = Field(1, ge=1, description="passes over one rollout [code]")
    minibatch: int = Field(1, ge=1, description="pairs an optimiser step, each with all trained steps [code]")
    votes: Votes = Field((), description="file of people's votes on evaluation images of the base model; none: reward")


class D3PO(Method):
    """DPO on every step of two trajectories, labelled by their final images.

    1. Two images from one x_T; 2. compare their rewards; 3. DPO on each step of both, each from its own parent.
    """

    name = "d3po"
    paper = "arXiv:2311.13231, Alg. 1"
    images_per_sample = 2
    Config = D3POConfig

    @classmethod
    def needs(cls, cfg: D3POConfig) -> frozenset[Need]:
        """The frozen base model as reference."""
        return frozenset({"reference"})

    def collect(
        self, policy: Policy, samples: Sequence[Sample], reward: StepReward, cfg: D3POConfig, noise: Noise
    ) -> Iterator[tuple[StepPairs, Metrics]]:
        """Rolls out a pair for every sample; yields one Batch for each minibatch of pairs."""
        n, ks = len(samples), trained_steps(cfg.steps, policy.schedule)
        if cfg.votes:
            votes = _dealt(cfg.votes, samples, noise)
            cond = policy.encode([vote.prompt for vote in votes])
            with policy.adapter_off():  # whose images the people saw
                visits = _again(policy, votes)
            preferred = [(float(v.winner == v.i), float(v.winner == v.j)) for v in votes]
            r = torch.tensor(preferred, device=visits[-1].x.device).T.reshape(-1)
            metrics: dict[str, float | torch.Tensor] = {}
        else:
            prompts = [s.prompt for s in samples]
            cond, draws = policy.encode(prompts), NoiseSource(policy, noise, samples)

            def draw(k: int) -> torch.Tensor:
                return torch.cat([draws.z(k, "a"), draws.z(k, "b")])

            x_T = draws.start()
            visits = list(rollout(policy, cond.repeat(2), torch.cat([x_T, x_T]), draw))
            r = reward(visits[-1].x, prompts * 2, "step 0")
            metrics = {"reward": r.mean(), "reward_gap": (r[:n] - r[n:]).abs().mean()}

        win, lose, weight = rank(r)
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
        """-log sigmoid(beta (log rho_w - log rho_l)), rho held within 1 ± clip."""
        return step_pair_loss(policy, batch, cfg.beta, cfg.clip, cfg.log_prob)


def _dealt(votes: Sequence[Vote], samples: Sequence[Sample], noise: Noise) -> list[Vote]:
    """The vote of each sample: pass after pass over those that prefer an image, in an order of its own each."""
    told = [vote for vote in votes if vote.winner is not None]
    return [told[noise.permutation(len(told), "votes", s.number // len(told))[s.number % len(told)]] for s in samples]


def _again(policy: Policy, votes: Sequence[Vote]) -> list[Visit]:
    """The walks of images i, then j, of each vote, from the noise that ``bench eval`` made them of."""
    sides = [(v.seed, Sample(v.prompt, v.i, v.index)) for v in votes]
    sides += [(v.seed, Sample(v.prompt, v.j, v.index)) for v in votes]
    each = [NoiseSource(policy, Noise(seed, "eval"), [image]) for seed, image in sides]
    cond = policy.encode([image.prompt for _, image in sides])
    start = torch.cat([draws.start() for draws in each])
    return list(rollout(policy, cond, start, lambda k: torch.cat([draws.z(k) for draws in each])))

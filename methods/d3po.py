"""D3PO: DPO on every denoising step of two trajectories, labelled by which final image the reward prefers.

Yang et al., "Using Human Feedback to Fine-tune Diffusion Models without Any Reward Model", arXiv:2311.13231.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from pydantic import Field

from benchbench.api import Method, MethodConfig, Metrics, Need, StepPairs
from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.policy import Policy
from benchbench.diffusion.rollout import Draws, rollout
from benchbench.noise import Noise, Sample

from ._step_pairs import step_pair_loss
from ._steps import Steps, trained_steps


class D3POConfig(MethodConfig):
    """Defaults are those of the released reward-model script (scripts/rm/train_d3po.py, config/base.py)."""

    steps: Steps = Field("all", description="trained step indices; released code: all T [code]")
    beta: float = Field(0.1, gt=0, description="temperature of the preference, per latent dimension [code]")
    clip: float | None = Field(0.1, gt=0, lt=1, description="ratios are held within 1 ± clip [code]; null: paper, none")
    minibatch: int = Field(1, ge=1, description="pairs an optimiser step, each with all trained steps [code]")


class D3PO(Method):
    """1. two images from one x_T; 2. compare their rewards; 3. DPO on each step of both, each from its own parent."""

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
        n, prompts = len(samples), [s.prompt for s in samples]
        cond, draws = policy.encode(prompts), Draws(policy, noise, samples)
        ks = trained_steps(cfg.steps, policy.schedule)

        def draw(k: int) -> torch.Tensor:
            return torch.cat([draws.z(k, "a"), draws.z(k, "b")])

        x_T = draws.start()
        visits = list(rollout(policy, cond.repeat(2), torch.cat([x_T, x_T]), draw))
        r_a, r_b = reward(visits[-1].x, prompts * 2, "step 0").chunk(2)

        first = (r_a >= r_b).view(-1, 1, 1, 1)
        weight = (r_a != r_b).float()

        def ranked(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            a, b = x.chunk(2)
            return torch.where(first, a, b), torch.where(first, b, a)

        steps = []
        for visit, after in zip(visits, visits[1:], strict=False):
            if visit.k in ks:
                k = torch.full((n,), visit.k, device=x_T.device)
                steps.append(StepPairs(*ranked(visit.x), *ranked(after.x), k, cond, weight))

        policy.cost.pairs += n
        metrics = {
            "reward": torch.cat([r_a, r_b]).mean(),
            "reward_gap": (r_a - r_b).abs().mean(),
            "ties": 1 - weight.mean(),
        }
        order = noise.permutation(n, samples[0].number)
        for i in range(0, n, cfg.minibatch):
            rows = torch.tensor(order[i : i + cfg.minibatch], device=x_T.device)
            yield StepPairs.cat([step[rows] for step in steps]), metrics

    def loss(self, policy: Policy, batch: StepPairs, cfg: D3POConfig, noise: Noise) -> tuple[torch.Tensor, Metrics]:
        """-log sigmoid(beta (log rho_w - log rho_l)), rho held within 1 ± clip."""
        return step_pair_loss(policy, batch, cfg.beta, cfg.clip)

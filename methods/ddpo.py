"""DDPO: policy gradient on denoising steps, with the final image's reward as the advantage of each step.

Black et al., "Training Diffusion Models with Reinforcement Learning", arXiv:2305.13301, the DDPO-IS estimator.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import Field

from benchbench.api import Metrics, Noise, Policy, Sample, StepReward, Transitions

from ._advantage import PromptStats, batch_advantages
from ._policy_gradient import PolicyGradient, PolicyGradientConfig


class DDPOConfig(PolicyGradientConfig):
    """Settings; the defaults are those of D3PO's own DDPO script (train_ddpo.py), which TailorPO compares with."""

    per_prompt: bool = Field(True, description="normalise rewards by prompt [code]; False: over the rollout")
    buffer: int = Field(16, ge=1, description="rewards kept for each prompt [code]")
    min_count: int = Field(16, ge=1, description="rewards a prompt needs before its own statistics count [code]")


class DDPO(PolicyGradient[DDPOConfig]):
    """Policy gradient on every step, with the final image's reward as its advantage.

    1. Sample images; 2. score them; 3. normalise to advantages; 4. clipped policy gradient on every step.
    """

    name = "ddpo"
    paper = "arXiv:2305.13301, DDPO-IS"
    Config = DDPOConfig

    def __init__(self) -> None:
        super().__init__()
        self.stats = PromptStats()

    def collect(
        self, policy: Policy, samples: Sequence[Sample], reward: StepReward, cfg: DDPOConfig, noise: Noise
    ) -> Iterator[tuple[Transitions, Metrics]]:
        """Rolls out the samples; yields one Batch for each minibatch of images."""
        yield from self.walk(policy, samples, reward, cfg, noise)

    def advantages(self, prompts: Sequence[str], rewards: Sequence[float], cfg: DDPOConfig) -> list[float]:
        """Returns the rewards, normalised by the prompt's recent ones or over the rollout."""
        if cfg.per_prompt:
            return self.stats.advantages(prompts, rewards, cfg.buffer, cfg.min_count)
        return batch_advantages(rewards)

    def state(self) -> dict[str, Any]:
        """Returns the recent rewards of each prompt, and whether old log-probs are recomputed."""
        return {**self.stats.state(), **super().state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restores the statistics that ``state`` returned."""
        self.stats.load_state(state)
        super().load_state(state)

"""The same few images, again and again during training: the curve of a run, on fixed prompts and fixed noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from benchbench import registry
from benchbench.api import PromptSet, Reward
from benchbench.diffusion.decode import Decoder, to_pil
from benchbench.diffusion.policy import Cost, Policy
from benchbench.diffusion.rollout import generate
from benchbench.noise import Noise, Sample


class FixedEvaluation:
    """Rewards of plain samples of the current policy; the noise is the same for every method and training seed."""

    def __init__(self, policy: Policy, prompts: PromptSet, reward: Reward, images: int) -> None:
        self.policy = policy
        n = len(prompts)
        self.samples = [Sample(prompts.prompts[i % n], i // n, i % n) for i in range(images)]
        self.rewards: dict[str, Reward] = {"reward": reward}
        if policy.backbone.is_shapes:
            self.rewards["oracle"] = registry.get("rewards", "shapes-oracle")(policy.backbone.device)

    @torch.no_grad()
    def __call__(self) -> dict[str, float]:
        """``eval.reward``, on shapes ``eval.oracle`` too, and how many images were constant."""
        own, self.policy.cost = self.policy.cost, Cost()  # looking is not training, and is not charged to it
        chunk = self.policy.backbone.batch_size
        scores: dict[str, list[torch.Tensor]] = {name: [] for name in self.rewards}
        constant = 0
        for i in range(0, len(self.samples), chunk):
            part: Sequence[Sample] = self.samples[i : i + chunk]
            images = to_pil(Decoder(self.policy.backbone)(generate(self.policy, part, Noise(0, "eval"))))
            for name, reward in self.rewards.items():
                scores[name].append(reward.score(images, [s.prompt for s in part]))
            constant += sum(int(np.ptp(np.asarray(image))) < 2 for image in images)
        self.policy.cost = own
        means = {f"eval.{name}": float(torch.cat(parts).mean()) for name, parts in scores.items()}
        return {**means, "eval.constant_images": constant}

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
        world = self.policy.world
        with world.divided():
            found = world.rows(len(self.samples), (len(self.rewards) + 1,), lambda rows: self._look(self.samples[rows]))
        self.policy.cost = own
        *scores, constant = found.unbind(1)
        means = {f"eval.{name}": float(of.contiguous().mean()) for name, of in zip(self.rewards, scores, strict=True)}
        return {**means, "eval.constant_images": int(constant.sum())}

    def _look(self, samples: Sequence[Sample]) -> torch.Tensor:
        """Of each sample its scores and whether its image is constant, float32 [N, rewards + 1]."""
        chunk, found = self.policy.backbone.batch_size, []
        for i in range(0, len(samples), chunk):
            part = samples[i : i + chunk]
            images = to_pil(Decoder(self.policy.backbone)(generate(self.policy, part, Noise(0, "eval"))))
            columns = [reward.score(images, [s.prompt for s in part]).float() for reward in self.rewards.values()]
            columns.append(torch.tensor([float(np.ptp(np.asarray(image)) < 2) for image in images]))
            found.append(torch.stack(columns, 1))
        return torch.cat(found)

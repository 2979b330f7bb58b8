"""Before the first step: the statistics by which an ensemble normalises its members."""

from __future__ import annotations

from pathlib import Path

import torch

from benchbench import ensemble
from benchbench.api import PromptSet, Reward
from benchbench.diffusion.decode import Decoder, to_pil
from benchbench.diffusion.policy import Cost, Policy
from benchbench.diffusion.rollout import generate
from benchbench.noise import Noise, Sample
from benchbench.store.files import Say

IMAGES = 32
FILE = "ensemble.json"


@torch.no_grad()
def calibrate(reward: Reward, policy: Policy, prompts: PromptSet, out: Path, say: Say) -> None:
    """Of an ensemble, on images of the untrained policy; a resumed run reads what its first start wrote."""
    if not isinstance(reward, ensemble.Ensemble):
        return
    if (out / FILE).is_file():
        reward.statistics = ensemble.read(out / FILE)
    else:
        own, policy.cost = policy.cost, Cost()  # not training, and not charged to it
        n = len(prompts)
        samples = [Sample(prompts.prompts[i % n], i // n, i % n) for i in range(IMAGES)]
        chunk, images = policy.backbone.batch_size, []
        for i in range(0, IMAGES, chunk):
            latents = generate(policy, samples[i : i + chunk], Noise(0, "calibration"))
            images += to_pil(Decoder(policy.backbone)(latents))
        policy.cost = own
        reward.calibrate(images, [sample.prompt for sample in samples])
        ensemble.save(out / FILE, reward.name, reward.statistics, "images of the base model")
    ensemble.tell(reward.name, reward.statistics, "images of the base model", say)

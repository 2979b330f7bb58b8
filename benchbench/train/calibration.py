"""Calibrates an ensemble reward before a run's first step: mean and deviation of each member on base-model images."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from benchbench.diffusion.decode import to_pil
from benchbench.diffusion.policy import Policy
from benchbench.diffusion.rollout import generate
from benchbench.noise import Noise, Sample
from benchbench.rewards import mix
from benchbench.runtime.files import Log
from benchbench.runtime.memory import Splitter
from benchbench.types import PromptSet, Reward

IMAGES = 32
FILE = "ensemble.json"


@torch.no_grad()
def calibrate(reward: Reward, policy: Policy, prompts: PromptSet, out: Path, log: Log) -> None:
    """Calibrates an ensemble on base-model images; does nothing for any other reward.

    Writes the statistics into the run's folder ``out``. A resumed run loads them, or computes them again where the file
    is missing or damaged. The policy must still be untrained, so call this before a checkpoint is restored.
    """
    if not isinstance(reward, mix.Ensemble):
        return
    statistics = mix.read_statistics(out / FILE, type(reward))
    if statistics is not None:
        reward.statistics = statistics
    else:
        n = len(prompts)
        samples = [Sample(prompts.prompts[i % n], i // n, i % n) for i in range(IMAGES)]
        splitter = Splitter("making images to calibrate on", policy.backbone.batch_size, row="image", log=log)

        def generate_rows(rows: slice) -> list[Image.Image]:
            with policy.attempt():
                return to_pil(policy.decoder(generate(policy, samples[rows], Noise(0, "calibration"))))

        with policy.evaluating():
            images = [image for _, part in splitter.parts(generate_rows, IMAGES) for image in part]
        reward.calibrate(images, [sample.prompt for sample in samples])
        mix.save_statistics(out / FILE, type(reward), reward.statistics, "images of the base model")
    mix.log_statistics(reward.name, reward.statistics, "images of the base model", log)

"""Step 8: runs one batch of SDXL images, and one TailorPO rollout with its optimizer step, at SDXL's real size."""

from __future__ import annotations

import numpy as np

from benchbench.diffusion.policy import make_policy
from benchbench.diffusion.sample import sample
from benchbench.noise import Noise, Sample
from tests.bench.setting import SAMPLER
from tests.gpu import models, runs
from tests.gpu.context import PartResult, StepContext

IMAGES = 4


def run(context: StepContext) -> None:
    """Runs both parts."""
    with context.part("an evaluation batch") as result:
        evaluation(context, result)
    with context.part("tailorpo") as result:
        messages: list[str] = []
        trainer = runs.trainer(
            context, "tailorpo", *runs.small_settings("tailorpo", 1), model="sdxl", messages=messages
        )
        try:
            context.reset_peak()
            rows = []
            result["rollout_seconds"] = context.seconds(lambda: rows.append(trainer._rollout()))
            runs.note(result, rows[0])
            result["peak_gib"], result["micro_batch"], result["said"] = context.peak_gib, trainer.micro_batch, messages
        finally:
            runs.close(trainer)


def evaluation(context: StepContext, result: PartResult) -> None:
    """Generates one batch of images, each from its own noise."""
    backbone = models.loaded(context, "sdxl", "auto")
    policy = make_policy(backbone, **SAMPLER)  # type: ignore[arg-type]
    context.reset_peak()
    batches: list[np.ndarray] = []
    samples = [Sample("a cat", i) for i in range(IMAGES)]
    result["seconds_of_the_batch"] = context.seconds(lambda: batches.append(sample(policy, samples, Noise(0, "eval"))))
    result["images"], result["dtype"], result["peak_gib"] = len(batches[0]), backbone.dtype, context.peak_gib
    result["vae_dtype"], result["spread"] = str(backbone.vae.dtype), float(batches[0].std())
    result.check("the images are of one colour", result["spread"] > 0)

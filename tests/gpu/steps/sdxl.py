"""Step 8: SDXL at its own size makes one batch of images, and one TailorPO rollout with its optimiser step."""

from __future__ import annotations

import numpy as np

from benchbench.diffusion.policy import make_policy
from benchbench.diffusion.sample import sample
from benchbench.noise import Noise, Sample
from tests.bench.setting import SAMPLER
from tests.gpu import models, runs
from tests.gpu.here import Found, Here

IMAGES = 4


def run(here: Here) -> None:
    """Two parts."""
    with here.part("an evaluation batch") as found:
        evaluation(here, found)
    with here.part("tailorpo") as found:
        said: list[str] = []
        made = runs.trainer(here, "tailorpo", *runs.words("tailorpo", 1), model="sdxl", said=said)
        try:
            here.reset_peak()
            rows = []
            found["rollout_seconds"] = here.seconds(lambda: rows.append(made._rollout()))
            runs.note(found, rows[0])
            found["peak_gib"], found["micro_batch"], found["said"] = here.peak_gib, made.micro_batch, said
        finally:
            runs.close(made)


def evaluation(here: Here, found: Found) -> None:
    """One batch of images, each with its own noise."""
    backbone = models.loaded(here, "sdxl", "auto")
    policy = make_policy(backbone, **SAMPLER)  # type: ignore[arg-type]
    here.reset_peak()
    made: list[np.ndarray] = []
    samples = [Sample("a cat", i) for i in range(IMAGES)]
    found["seconds_of_the_batch"] = here.seconds(lambda: made.append(sample(policy, samples, Noise(0, "eval"))))
    found["images"], found["dtype"], found["peak_gib"] = len(made[0]), backbone.dtype, here.peak_gib
    found["vae_dtype"], found["spread"] = str(backbone.vae.dtype), float(made[0].std())
    found.check("the images are of one colour", found["spread"] > 0)

"""Tells a UNet that predicts noise from one that predicts something else, which has the same names and shapes.

At the last timestep, x = sqrt(abar) x_0 + sqrt(1 - abar) e is almost pure noise: in Stable Diffusion, sqrt(abar) is
0.07. A prediction of e is then close to x. A prediction of v = sqrt(abar) e - sqrt(1 - abar) x_0 (Salimans and Ho,
2022), or of x_0, is close to an image, which has nothing of x.
"""

from __future__ import annotations

from pathlib import Path

import torch

from benchbench.diffusion import text
from benchbench.diffusion.backbones import Backbone
from benchbench.hub.layout import PREDICTION_TYPES
from benchbench.hub.single_file import other_prediction

SURE, UNLIKE = 0.8, 0.5
"""The least likeness to x by which a model is known to predict noise; a likeness that no such model has."""


def check_prediction(changed: Backbone, base: Backbone, path: Path) -> None:
    """Raises UsageError where the base model predicts noise, and the UNet of the file ``path`` not; or the reverse."""
    likeness, of_base = noise_likeness(changed), noise_likeness(base)
    predicts = PREDICTION_TYPES[base.scheduler_config.get("prediction_type", "epsilon")]
    cause = f"from pure noise it predicts something of likeness {likeness:.2f} (of 1) to that noise"
    if predicts == "epsilon" and likeness < UNLIKE and of_base > SURE:
        raise other_prediction(str(path), f"{cause}, so that it predicts v or is untrained", base.name, predicts)
    if predicts == "v" and likeness > SURE and of_base < UNLIKE:
        raise other_prediction(str(path), f"{cause}, so that it predicts noise", base.name, predicts)


@torch.no_grad()
def noise_likeness(backbone: Backbone) -> float:
    """Returns the cosine between x at the last timestep, pure noise, and the prediction without a prompt."""
    x = torch.randn(1, *backbone.latent_shape, generator=torch.Generator().manual_seed(0)).to(backbone.device)
    [empty] = text.encode(backbone, [""])
    last = torch.tensor([int(backbone.scheduler_config.get("num_train_timesteps", 1000)) - 1], device=backbone.device)
    prediction = text.predict(backbone.network, x, last, text.condition(backbone, [empty], empty))
    return float(torch.nn.functional.cosine_similarity(x.flatten(), prediction.flatten(), dim=0))

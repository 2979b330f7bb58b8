"""One table of what is chosen where a command names nothing: the answers depend on the base model alone.

Nothing else asks whether a model is the embedded shapes model. Imports nothing of ours, and no torch.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

OTHER_VAE = "+vae="  # sdxl+vae=madebyollin/sdxl-vae-fp16-fix is SDXL with that decoder
SHAPES_WEIGHTS: Path = Path(os.environ.get("BENCH_SHAPES_WEIGHTS") or Path(__file__).parent / "shapes" / "weights")
"""The folder of the embedded world: model/, clip/, pref/, spm/, aesthetic.safetensors, record.json, samples.png."""


@dataclass(frozen=True)
class Defaults:
    """The defaults of a base model."""

    preset: str
    prompts: str
    reward: str
    preference_reward: str
    """The reward that judges pairs of images where none is named: a model of people's preferences."""
    evaluation_clip: str
    """The CLIP that measures diversity."""
    samples: int
    """Images to train on where the preset does not say how many."""
    pairs: str | None = None
    """The pairs that an offline method learns from; None: they must be named."""
    gold_reward: str | None = None
    """A reward that is never trained on and shows reward hacking; every training is also evaluated by it."""
    hacking_rewards: tuple[str, ...] | None = None
    """The rewards of a panel of reward hacking; None: every reward whose weights are here."""
    own_rewards: str = ""
    """The prefix of the rewards that judge this model's images and no others."""
    embedded: Path | None = None
    """The folder of a model that this package ships."""
    limited_vocabulary: bool = False
    """The text encoder knows the words of the shapes world and no others."""
    seconds_per_evaluation: float | None = None
    """Seconds of one guided evaluation of the UNet on one CPU core, with decoding and scoring; None: not measured."""


SHAPES = Defaults(
    preset="shapes",
    prompts="shapes-simple",
    reward="shapes-colour",
    preference_reward="shapes-pref",
    evaluation_clip="shapes-clip",
    samples=384,
    pairs="made:shapes-simple:shapes-pref:32",  # 1440 images, and as many pairs
    gold_reward="shapes-oracle",
    hacking_rewards=("shapes-colour", "shapes-aesthetic", "shapes-clip", "shapes-pref", "shapes-oracle"),
    own_rewards="shapes-",
    embedded=SHAPES_WEIGHTS / "model",
    limited_vocabulary=True,
    # The trainings in results/shapes with a cheap reward took 0.0033 to 0.0037, gradients counted as Cost.nfe does.
    seconds_per_evaluation=0.0037,
)
STABLE_DIFFUSION = Defaults(
    preset="released",
    prompts="animals",
    reward="aesthetic",
    preference_reward="pickscore",
    evaluation_clip="clip_h14",
    samples=10_000,
)
TABLE = {
    "shapes": SHAPES,
    "sdxl": Defaults(
        preset="released-sdxl",
        prompts="animals",
        reward="aesthetic",
        preference_reward="pickscore",
        evaluation_clip="clip_h14",
        samples=10_000,
    ),
}
"""The base models that differ from Stable Diffusion 1.5."""
OWN_REWARDS = tuple(row.own_rewards for row in TABLE.values() if row.own_rewards)
"""The prefixes of the rewards that belong to one base model."""


def split_model(model: str) -> tuple[str, str]:
    """Returns the base model, and the hub id or folder of the VAE that replaces its own, empty where none does."""
    base, _, vae = model.partition(OTHER_VAE)
    return base, vae


def of(model: str) -> Defaults:
    """Returns the defaults of a base model by name, whatever VAE it is given; a stranger has those of SD 1.5."""
    return TABLE.get(split_model(model)[0], STABLE_DIFFUSION)

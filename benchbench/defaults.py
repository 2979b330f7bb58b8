"""The defaults of each base model: preset, prompts, rewards, pairs, and sizes, where a command names none.

Only this file and benchbench/shapes know which model is the embedded shapes model. Imports no torch.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

FLOW = "shapes-flow"
"""The name of the embedded flow-matching model."""
STEP_AWARE = "step-aware"  # stands for the step-aware preference model of the base model
VAE_SEPARATOR = "+vae="  # as in sdxl+vae=madebyollin/sdxl-vae-fp16-fix: SDXL with that VAE
SHAPES_WEIGHTS: Path = Path(os.environ.get("BENCH_SHAPES_WEIGHTS") or Path(__file__).parent / "shapes" / "weights")
"""The folder of the shapes world: model/, clip/, pref/, spm/, aesthetic.safetensors, record.json, samples.png."""


@dataclass(frozen=True)
class Defaults:
    """The defaults of a base model."""

    preset: str
    prompts: str
    reward: str
    preference_reward: str
    """The reward that ranks pairs of images: a model of human preferences."""
    evaluation_clip: str
    """The CLIP that measures the diversity of images."""
    validation: str
    """The prompt set on which ``bench tune`` chooses settings; no table is measured on it."""
    samples: int
    """Images to train on, where the preset does not set their number."""
    pairs: str | None = None
    """The pairs that an offline method learns from; None: the user must name them."""
    gold_reward: str | None = None
    """A reward that is never trained on, so that it reveals reward hacking; every training is also evaluated by it."""
    hacking_rewards: tuple[str, ...] | None = None
    """The rewards of the reward-hacking panel; None: every reward whose weights are on this machine."""
    step_reward: str = "spm"
    """The step-aware preference model of this base model, by which SPO judges."""
    reward_prefix: str = ""
    """The prefix of the rewards that score images of this model only; empty: there are none."""
    embedded: Path | None = None
    """The folder of a model that this package ships; None: the model is fetched."""
    flow: bool = False
    """True for a model that is trained by flow matching, whose sampler has other settings."""
    limited_vocabulary: bool = False
    """True if the text encoder knows only the words of the shapes world."""
    seconds_per_evaluation: float | None = None
    """Seconds per guided UNet evaluation on one CPU core, decoding and scoring included; None: not measured."""
    image_side: int | None = None
    """The side of the model's pictures in pixels, for estimates of disk."""
    unet_parameters: int | None = None
    """The number of the UNet's weights, likewise."""
    tflop_per_evaluation: float | None = None
    """10^12 operations of a guided UNet evaluation, as tests/diffusion/test_cost.py counts them; None: not counted."""


SHAPES = Defaults(
    preset="shapes",
    prompts="shapes-simple",
    validation="shapes-complex.validation",
    reward="shapes-colour",
    preference_reward="shapes-pref",
    step_reward="shapes-spm",
    evaluation_clip="shapes-clip",
    samples=384,
    pairs="made:shapes-simple:shapes-pref:32",  # 1440 images and 1440 pairs
    gold_reward="shapes-oracle",
    hacking_rewards=("shapes-colour", "shapes-aesthetic", "shapes-clip", "shapes-pref", "shapes-oracle"),
    reward_prefix="shapes-",
    embedded=SHAPES_WEIGHTS / "model",
    limited_vocabulary=True,
    # Trainings in results/shapes with a cheap reward took 0.0033 to 0.0037 s; Cost.nfe says how gradients count.
    seconds_per_evaluation=0.0037,
)
STABLE_DIFFUSION = Defaults(
    preset="released",
    prompts="animals",
    validation="activities",
    reward="aesthetic",
    preference_reward="pickscore",
    evaluation_clip="clip_h14",
    samples=10_000,
    image_side=512,
    unet_parameters=859_520_964,
    tflop_per_evaluation=1.61,
)
TABLE = {
    "shapes": SHAPES,
    # prompts, rewards and pairs are those of shapes; its seconds were not measured
    FLOW: replace(
        SHAPES,
        preset="shapes-flow",
        step_reward="shapes-flow-spm",
        embedded=SHAPES_WEIGHTS / "flow" / "model",
        flow=True,
        seconds_per_evaluation=None,
    ),
    "sd21v": replace(STABLE_DIFFUSION, image_side=768, unet_parameters=865_910_724, tflop_per_evaluation=4.3),
    "sd35m": replace(
        STABLE_DIFFUSION,
        preset="sd35m",
        image_side=1024,
        flow=True,
        unet_parameters=2_243_171_520,
        tflop_per_evaluation=22.5,
    ),
    "sdxl": replace(
        STABLE_DIFFUSION,
        preset="released-sdxl",
        step_reward="spm-sdxl",
        image_side=1024,
        unet_parameters=2_567_463_684,
        tflop_per_evaluation=13.5,
    ),
}
"""The base models whose defaults differ from those of Stable Diffusion 1.5."""
EMBEDDED = tuple(name for name, row in TABLE.items() if row.embedded)
"""The models that this package ships."""
REWARD_PREFIXES = tuple(row.reward_prefix for row in TABLE.values() if row.reward_prefix)
"""The prefixes of all rewards that score images of one base model only."""


def split_model(model: str) -> tuple[str, str]:
    """Returns the base model, and the hub id or folder of the VAE that replaces its own (empty: none does)."""
    base, _, vae = model.partition(VAE_SEPARATOR)
    return base, vae


def embedded_model(preset: str) -> str:
    """Returns the embedded model of the kind that a preset is for: on it the settings of any preset can be read."""
    return FLOW if any(row.flow for row in TABLE.values() if row.preset == preset) else "shapes"


def of(model: str) -> Defaults:
    """Returns the defaults of a base model by name, with or without another VAE; unknown models get those of SD 1.5."""
    return TABLE.get(split_model(model)[0], STABLE_DIFFUSION)

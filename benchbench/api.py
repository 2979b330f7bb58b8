"""The names that a method, a reward or a prompt set imports; a plug-in needs no other module of benchbench.

Importing this module imports no torch. ``Policy``, ``rollout``, the losses and other names that need torch are loaded
when they are first accessed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import Field

from benchbench.errors import BenchError, CorruptError, MissingError, RunError, UsageError
from benchbench.hub.assets import Asset
from benchbench.noise import Noise, Sample, copy_to_device
from benchbench.prompt_set import Prompt, PromptSet, metadata
from benchbench.runtime.memory import out_of_memory
from benchbench.types import (
    Batch,
    Cond,
    ImagePairs,
    Images,
    LastSteps,
    Metrics,
    PreparedReward,
    Reward,
    Settings,
    StepPairs,
    StepScorer,
    Transitions,
)

if TYPE_CHECKING:
    import torch

    from benchbench.diffusion.denoising_error import (
        Predictions,
        mse,
        noised,
        pair_metrics,
        predict_in_chunks,
        predict_pairs,
    )
    from benchbench.diffusion.guidance import StepReward, guide, look_ahead, reward_gradient
    from benchbench.diffusion.policy import Policy
    from benchbench.diffusion.rollout import NoiseSource, Visit, rollout, take_again
    from benchbench.diffusion.schedule import Schedule, Step, check_steps
    from benchbench.losses import (
        diffusion_dpo,
        dmpo,
        dspo_energy,
        dspo_reference,
        dspo_score,
        kto,
        loser_scale,
        mapo,
        pair_dpo,
        pair_logit,
        phi,
        ppo_clip,
        scale_gradient,
    )

__all__ = [
    "Asset",
    "Batch",
    "BenchError",
    "Cond",
    "CorruptError",
    "Flip",
    "ImagePairs",
    "Images",
    "LastSteps",
    "Method",
    "MethodConfig",
    "Metrics",
    "MissingError",
    "Need",
    "Noise",
    "NoiseSource",
    "OfflineMethod",
    "PairsConfig",
    "Policy",
    "Precision",
    "Predictions",
    "PreparedReward",
    "Prompt",
    "PromptSet",
    "Reward",
    "RunError",
    "Sample",
    "Schedule",
    "Settings",
    "Step",
    "StepPairs",
    "StepReward",
    "StepScorer",
    "Transitions",
    "UsageError",
    "Visit",
    "check_steps",
    "copy_to_device",
    "diffusion_dpo",
    "dmpo",
    "dspo_energy",
    "dspo_reference",
    "dspo_score",
    "guide",
    "kto",
    "look_ahead",
    "loser_scale",
    "mapo",
    "metadata",
    "mse",
    "noised",
    "out_of_memory",
    "pair_dpo",
    "pair_logit",
    "pair_metrics",
    "phi",
    "ppo_clip",
    "predict_in_chunks",
    "predict_pairs",
    "reward_gradient",
    "rollout",
    "scale_gradient",
    "take_again",
]

LAZY = {
    "benchbench.diffusion.denoising_error": (
        "Predictions",
        "mse",
        "noised",
        "pair_metrics",
        "predict_in_chunks",
        "predict_pairs",
    ),
    "benchbench.diffusion.guidance": ("StepReward", "guide", "look_ahead", "reward_gradient"),
    "benchbench.diffusion.policy": ("Policy",),
    "benchbench.diffusion.rollout": ("NoiseSource", "Visit", "rollout", "take_again"),
    "benchbench.diffusion.schedule": ("Schedule", "Step", "check_steps"),
    "benchbench.losses": (
        "diffusion_dpo",
        "dmpo",
        "dspo_energy",
        "dspo_reference",
        "dspo_score",
        "kto",
        "loser_scale",
        "mapo",
        "pair_dpo",
        "pair_logit",
        "phi",
        "ppo_clip",
        "scale_gradient",
    ),
}
"""Names that are loaded at first access, by their module. All of these modules import torch."""


def __getattr__(name: str) -> Any:
    for module, names in LAZY.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


LARGE_LOGIT = 100.0
"""A factor on mean squared errors; from here on, bf16's rounding of the errors is not small beside a logit of 1."""


@dataclass(frozen=True)
class Precision:
    """The precision that ``train.dtype=auto`` means for a method on a GPU, with the reason. On a CPU it is always fp32.

    ``half`` is bf16, or fp16 on a card that has no bf16; ``tf32`` is float32 weights with TF32 products.
    """

    name: Literal["half", "fp16", "tf32", "fp32"]
    reason: str


Need = Literal["reference", "step_reward", "reward_gradient", "step_scorer", "old"]
"""A need of a method: of the policy a reference or an old policy (``policy.old``), the others of the reward."""


class MethodConfig(Settings):
    """Base class of a method's Config. The description of every field names the origin of its default."""


Flip = Literal["independent", "joint", "none"]


class PairsConfig(MethodConfig):
    """Base class of an offline method's Config: how the pairs are read."""

    caption_dropout: float = Field(0.2, ge=0, le=1, description="share of captions made empty [DiffusionDPO code]")
    flip: Flip = Field(
        "independent",
        description="mirror each image of a pair half the time [DiffusionDPO code]; joint: both or neither, and first "
        "stretch the second image to the size of the first [MaPO, diffusers' SDXL code]; none: neither",
    )
    nodup: bool = Field(False, description="one pair per caption, the same for every seed [DSPO paper: DSPO-nodup]")


ConfigT = TypeVar("ConfigT", bound=MethodConfig)
PairsConfigT = TypeVar("PairsConfigT", bound=PairsConfig)


class Method(ABC, Generic[ConfigT]):
    """A training algorithm: which batches to collect, and their loss. It has no optimizer, device, file or logging.

    ``class DDPO(Method[DDPOConfig])`` tells a type checker the class of ``cfg``; plain ``Method`` works as well. An
    instance may keep running statistics; ``state`` and ``load_state`` carry them over when a run is resumed.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    data: ClassVar[Literal["online", "offline"]] = "online"
    needs_noise: ClassVar[bool] = True
    """True where the method learns from the log-probs of steps that draw noise; offline methods take no steps."""
    images_per_sample: ClassVar[int] = 1  # final images of one rollout item; a D3PO pair is 2
    default_reward: ClassVar[str] = ""
    """The reward to train on where none is named. Empty: the base model's default; step-aware: its step-aware model."""
    Config: ClassVar[type[MethodConfig]]

    @classmethod
    def images(cls, cfg: ConfigT) -> int:
        """Returns the number of final images of one rollout item, where it depends on the settings."""
        return cls.images_per_sample

    @classmethod
    def needs(cls, cfg: ConfigT) -> frozenset[Need]:
        """Returns what the method needs of the policy and the reward; checked before any weight is loaded."""
        return frozenset()

    @classmethod
    def refuses(cls, cfg: ConfigT, flow: bool) -> str | None:
        """Returns why these settings fit no model of a kind, flow matching or diffusion, with what to do; or None."""
        return None

    @classmethod
    def check_sampler(cls, cfg: ConfigT, steps: int) -> None:
        """Raises UsageError for settings that do not fit a sampler of ``steps`` steps; before any weight is loaded."""

    @classmethod
    def without_effect(cls, cfg: ConfigT) -> dict[str, str]:
        """Returns the settings of the method that change no run beside the others in ``cfg``, each with the reason."""
        return {}

    @classmethod
    def precision(cls, cfg: ConfigT) -> Precision:
        """Returns the precision that ``train.dtype=auto`` means on a GPU: half, unless a method overrides it."""
        return Precision("half", "nothing in this method is finer than half precision's rounding")

    @abstractmethod
    def collect(
        self, policy: Policy, samples: Sequence[Sample], reward: StepReward, cfg: ConfigT, noise: Noise
    ) -> Iterator[tuple[Batch, Metrics]]:
        """Rolls out the samples under no_grad and yields one Batch for each optimizer step, with its metrics."""

    @abstractmethod
    def loss(self, policy: Policy, batch: Any, cfg: ConfigT, noise: Noise) -> tuple[torch.Tensor, Metrics]:
        """Returns the mean loss over the rows of ``batch``, a scalar, and metrics that are means over rows."""

    @classmethod
    def old_decay(cls, cfg: ConfigT, updates: int) -> float:
        """Returns the decay of the old policy's weights at the end of a rollout, after ``updates`` optimizer steps.

        They become decay old + (1 - decay) new; 0, the default, copies the new ones. Only for a method that needs it.
        """
        return 0.0

    def state(self) -> dict[str, Any]:
        """Returns the running statistics as a JSON-able dict."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restores the statistics that ``state`` returned."""


class OfflineMethod(Method[PairsConfigT]):
    """A method that learns from given pairs of images and generates none; the engine reads and encodes the pairs.

    ``--samples`` counts the images shown: two a pair, or one where ``winners`` says that it reads single images.
    """

    data = "offline"
    images_per_sample = 2

    @classmethod
    def winners(cls, cfg: PairsConfigT) -> float | None:
        """Returns None for a method that reads pairs (ImagePairs), else the share of winners among single Images."""
        return None

    @classmethod
    def loss_at_start(cls, cfg: PairsConfigT) -> float | None:
        """Returns the loss where the policy equals the reference, or None where no formula fixes it.

        The engine compares it with the loss at step 0.
        """
        return None

    @classmethod
    def logit_scale(cls, cfg: PairsConfigT) -> float | None:
        """Returns the factor on a difference of mean squared errors before the sigmoid; None: the loss has no logit."""
        return None

    @classmethod
    def precision(cls, cfg: PairsConfigT) -> Precision:
        """Returns fp16 where the logit magnifies rounding errors, since bf16's are eight times as large."""
        scale = cls.logit_scale(cfg) or 0.0
        if scale >= LARGE_LOGIT:
            return Precision(
                "fp16",
                f"errors are multiplied by {scale:g}: bf16 would move the logit by its own size, fp16 by a tenth",
            )
        return super().precision(cfg)

    def collect(
        self, policy: Policy, samples: Sequence[Sample], reward: StepReward, cfg: PairsConfigT, noise: Noise
    ) -> Iterator[tuple[Batch, Metrics]]:
        """Raises TypeError: an offline method generates no images."""
        raise TypeError(f"{self.name} learns from pairs and makes no images")

    def prepare(self, policy: Policy, batch: Any, cfg: PairsConfigT, noise: Noise) -> tuple[Batch, Metrics]:
        """Returns the batch with quantities that need all of its rows, under no_grad, before it is split for the loss.

        By default it returns the batch as it is.
        """
        return batch, {}

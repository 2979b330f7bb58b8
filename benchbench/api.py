"""All that the author of a method, a reward or a prompt set imports. Importing it imports no torch.

What needs torch (``Policy``, ``rollout``, the losses) is loaded when its name is first asked for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from benchbench.errors import BenchError, CorruptError, MissingError, RunError, UsageError
from benchbench.hub.assets import Asset
from benchbench.noise import Noise, Sample, hand_over
from benchbench.types import (
    Batch,
    Cond,
    ImagePairs,
    Images,
    PreparedReward,
    PromptSet,
    Reward,
    Settings,
    StepPairs,
    StepScorer,
    Transitions,
)

if TYPE_CHECKING:
    import torch

    from benchbench.diffusion.guidance import StepReward, guide, look_ahead
    from benchbench.diffusion.policy import Policy
    from benchbench.diffusion.rollout import NoiseSource, Visit, rollout
    from benchbench.diffusion.schedule import Schedule, Step, check_steps
    from benchbench.losses import (
        diffusion_dpo,
        dspo_energy,
        dspo_reference,
        dspo_score,
        kto,
        mapo,
        pair_dpo,
        pair_logit,
        phi,
        ppo_clip,
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
    "PreparedReward",
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
    "diffusion_dpo",
    "dspo_energy",
    "dspo_reference",
    "dspo_score",
    "guide",
    "hand_over",
    "kto",
    "look_ahead",
    "mapo",
    "pair_dpo",
    "pair_logit",
    "phi",
    "ppo_clip",
    "rollout",
]

LAZY = {
    "benchbench.diffusion.guidance": ("StepReward", "guide", "look_ahead"),
    "benchbench.diffusion.policy": ("Policy",),
    "benchbench.diffusion.rollout": ("NoiseSource", "Visit", "rollout"),
    "benchbench.diffusion.schedule": ("Schedule", "Step", "check_steps"),
    "benchbench.losses": (
        "diffusion_dpo",
        "dspo_energy",
        "dspo_reference",
        "dspo_score",
        "kto",
        "mapo",
        "pair_dpo",
        "pair_logit",
        "phi",
        "ppo_clip",
    ),
}
"""The names that are loaded when they are asked for, by the module that has them: all of these modules need torch."""

Metrics = Mapping[str, "float | torch.Tensor"]


def __getattr__(name: str) -> Any:
    for module, names in LAZY.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


LARGE_LOGIT = 100.0
"""A factor on mean squared errors from which bf16's rounding of them is no longer small beside a logit of 1."""


@dataclass(frozen=True)
class Precision:
    """The meaning of ``train.dtype=auto`` for a method on a GPU, with its reason. On a CPU it is always fp32.

    ``half`` is bf16, or fp16 on a card that has no bf16; ``tf32`` is float32 weights with TF32 products.
    """

    name: Literal["half", "fp16", "tf32", "fp32"]
    reason: str


Need = Literal["reference", "step_reward", "reward_gradient", "step_scorer"]


class MethodConfig(Settings):
    """Base of a method's Config; every field's description names its origin."""


Flip = Literal["independent", "joint", "none"]


class PairsConfig(MethodConfig):
    """Base of an offline method's Config: how it reads its pairs."""

    caption_dropout: float = Field(0.2, ge=0, le=1, description="share of captions made empty [DiffusionDPO code]")
    flip: Flip = Field(
        "independent", description="mirror each image of a pair half the time [DiffusionDPO code], or both, or neither"
    )
    nodup: bool = Field(False, description="one pair of each caption, drawn by the seed [DSPO paper: DSPO-nodup]")


class Method(ABC):
    """A training algorithm: what to collect, and the loss. No optimiser, no device, no file, no logging.

    An instance may keep running statistics; ``state`` and ``load_state`` carry them over a resumption.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    data: ClassVar[Literal["online", "offline"]] = "online"
    images_per_sample: ClassVar[int] = 1  # final images of one rollout item; a D3PO pair is 2
    default_reward: ClassVar[str] = ""  # what it is trained on where no reward is named; empty: as every method
    Config: ClassVar[type[MethodConfig]]

    @classmethod
    def images(cls, cfg: Any) -> int:
        """Final images of one rollout item, where that depends on the settings."""
        return cls.images_per_sample

    @classmethod
    def needs(cls, cfg: Any) -> frozenset[Need]:
        """What the method asks of the policy and the reward; checked before any weight is loaded."""
        return frozenset()

    @classmethod
    def precision(cls, cfg: Any) -> Precision:
        """The precision on a GPU where the settings leave it open: half, unless the method says otherwise."""
        return Precision("half", "nothing in this method is finer than half precision's rounding")

    @abstractmethod
    def collect(
        self, policy: Policy, samples: Sequence[Sample], reward: StepReward, cfg: Any, noise: Noise
    ) -> Iterator[tuple[Batch, Metrics]]:
        """Roll out the samples under no_grad; yield a Batch for each optimiser step."""

    @abstractmethod
    def loss(self, policy: Policy, batch: Any, cfg: Any, noise: Noise) -> tuple[torch.Tensor, Metrics]:
        """The mean loss over the rows of ``batch``, a scalar, and metrics that are means over rows."""

    def state(self) -> dict[str, Any]:
        """JSON-able running statistics."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what ``state`` gave."""


class OfflineMethod(Method):
    """A method that learns from given pairs of images and makes none: the engine reads, encodes and deals them out.

    ``--samples`` counts the images it is shown: two a pair, or one where ``winners`` says that it reads single images.
    """

    data = "offline"
    images_per_sample = 2

    @classmethod
    def winners(cls, cfg: Any) -> float | None:
        """None: it reads pairs, ImagePairs. A share: it reads Images, of which this share won their pairs."""
        return None

    @classmethod
    def loss_at_start(cls, cfg: Any) -> float | None:
        """The loss where policy and reference are one, by its formula; checked at step 0. None: it is not fixed."""
        return None

    @classmethod
    def logit_scale(cls, cfg: Any) -> float | None:
        """The factor on a difference of mean squared errors before the sigmoid; None for a loss without a logit."""
        return None

    @classmethod
    def precision(cls, cfg: Any) -> Precision:
        """fp16 where the logit magnifies rounding: bf16's is eight times as coarse."""
        scale = cls.logit_scale(cfg) or 0.0
        if scale >= LARGE_LOGIT:
            return Precision(
                "fp16",
                f"errors are multiplied by {scale:g}: bf16 would move the logit by its own size, fp16 by a tenth",
            )
        return super().precision(cfg)

    def collect(
        self, policy: Policy, samples: Sequence[Sample], reward: StepReward, cfg: Any, noise: Noise
    ) -> Iterator[tuple[Batch, Metrics]]:
        """Not asked of an offline method."""
        raise TypeError(f"{self.name} learns from pairs and makes no images")

    def prepare(self, policy: Policy, batch: Any, cfg: Any, noise: Noise) -> tuple[Batch, Metrics]:
        """What needs the whole batch before the loss sees parts of it, under no_grad; here nothing does."""
        return batch, {}

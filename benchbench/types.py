"""The values that every package shares: settings, rewards, prompt sets, conditioning, batches. Imports no torch."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from benchbench.errors import UsageError
from benchbench.prompt_set import Prompt, PromptSet
from benchbench.runtime.code import code_sha256
from benchbench.runtime.hashing import HashCache, canonical, text_sha256

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from benchbench.hub.assets import Asset

__all__ = [
    "Batch",
    "Cond",
    "ImagePairs",
    "Images",
    "LastSteps",
    "Metrics",
    "PreparedReward",
    "Prompt",
    "PromptSet",
    "Reward",
    "Settings",
    "StepPairs",
    "StepScorer",
    "Transitions",
]

Metrics = Mapping[str, "float | torch.Tensor"]
UNIT_RANGE = (-0.01, 1.01)
"""Values of images in [0, 1], with room for a resize that overshoots."""


class Settings(BaseModel):
    """Frozen settings; unknown keys are errors, and so are numbers that are not finite, which no JSON file can hold."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Reward(ABC):
    """Scores images. Class attributes are readable without the weights; the constructor loads them.

    ``version`` names the weights, so that scores of two versions are never mixed. ``range`` is the usual range of
    scores, in ``unit``s. N images and N prompts give N scores that do not depend on batching or order.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    unit: ClassVar[str]
    range: ClassVar[tuple[float, float]]
    differentiable: ClassVar[bool]
    weights: ClassVar[str]  # origin of the weights: "none", "shipped", or hub ids
    trainable: ClassVar[bool] = True  # False: a gold reward that no method may be trained on
    base: ClassVar[str] = ""  # the base model whose images the weights are for, as sd15 or sdxl; empty: any
    reads_prompt: ClassVar[bool] = True  # False: a score depends on the image alone
    needs: ClassVar[tuple[str, ...]] = ()  # fields that every prompt's metadata must have; see ``metadata`` in the API
    max_batch: ClassVar[int | None] = None  # images of one call of ``score`` at most, where evaluations must know it
    notes: ClassVar[tuple[str, ...]] = ()  # what `bench show reward` says besides: other scales, limits
    assets: ClassVar[tuple[Asset, ...]] = ()  # files that `bench fetch` downloads
    _unit_range: bool = False  # whether the images of this object are known to lie in [0, 1]

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = device

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in ("score_differentiable", "score_at"):
            if name in vars(cls):
                setattr(cls, name, _range_checked(vars(cls)[name]))

    def assume_unit_range(self) -> None:
        """Leaves out the look at the first images, which waits for the device; our decoder clamps what it makes."""
        self._unit_range = True

    @classmethod
    def missing(cls) -> str | None:
        """Returns a description of the files that are not on this machine, or None when none is missing."""
        return "; ".join(problem for asset in cls.assets if (problem := asset.missing())) or None

    @classmethod
    def weight_files(cls) -> list[Path]:
        """Returns the files of weights that are on this machine; runs and scores are compared by their content."""
        return [path for asset in cls.assets for path in asset.find() or ()]

    @classmethod
    def identity(cls) -> dict[str, str]:
        """Returns what decides the scores, by words for it: the version, and hashes of a plug-in's code and of weights.

        A reward of this repository has no hash of its code: its version is raised when its scores change.
        """
        identity = {f"version of the reward {cls.name}": cls.version}
        if code := code_sha256(cls):
            identity[f"code of the reward {cls.name}"] = code
        if files := [path for path in cls.weight_files() if path.is_file()]:
            with HashCache() as sha256:
                weights = text_sha256(canonical([sha256(path) for path in files]))
            identity[f"weights of the reward {cls.name}"] = weights
        return identity

    @classmethod
    def chance(cls, prompts: Sequence[str]) -> float | None:
        """Returns the mean score of images of other prompts, or None; tables show (score - chance) / (1 - chance)."""

    def expect(self, prompts: Sequence[str]) -> None:
        """Announces the prompts of later calls, so that they can be encoded in one batch. Changes no score."""

    def refuses(self, width: int, height: int) -> str | None:
        """Returns why images of this size, in pixels, cannot be scored, or None."""
        return None

    def cut(self, prompts: Sequence[str]) -> tuple[int, int]:
        """Returns how many of the prompts are read in part only, and how many tokens of a prompt are read.

        Returns (0, 0) where all are read whole.
        """
        return 0, 0

    def prompt_warnings(self, prompts: Sequence[str]) -> list[str]:
        """Returns lines for the user on prompts of which only the beginning counts; for use once a command."""
        distinct = list(dict.fromkeys(prompts))
        count, tokens = self.cut(distinct)
        if not count:
            return []
        return [
            f"warning: {self.name} reads the first {tokens} tokens of a prompt, start and end tokens included; "
            f"{count} of {len(distinct)} different prompts are longer, and the rest of them plays no part"
        ]

    @abstractmethod
    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> torch.Tensor:
        """Returns scores for evaluation, float32 [N] on the CPU, of N RGB images with the authors' preprocessing."""

    def score_differentiable(self, images: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        """Returns scores for training, float32 [N] with a gradient, of images [N, 3, H, W] in [0, 1]."""
        raise TypeError(f"{self.name} is not differentiable")


def _range_checked(call: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Returns a reward's method that looks at the range of the first images it gets; of all later ones it does not."""

    @functools.wraps(call)
    def checked(reward: Reward, images: torch.Tensor, *others: Any, **named: Any) -> torch.Tensor:
        if not reward._unit_range and _has_values(images):
            _require_unit_range(reward.name, images)
            reward._unit_range = True
        return call(reward, images, *others, **named)

    return checked


def _has_values(images: torch.Tensor) -> bool:
    return bool(images.numel()) and images.device.type != "meta" and type(images).__name__ != "FakeTensor"


def _require_unit_range(name: str, images: torch.Tensor) -> None:
    """Raises UsageError for images that are no numbers in [0, 1], of which a reward gives plausible scores as well."""
    low, high = float(images.detach().min()), float(images.detach().max())
    if not images.is_floating_point() or not (UNIT_RANGE[0] <= low and high <= UNIT_RANGE[1]):
        raise UsageError(
            f"the images for the reward {name} are not in [0, 1]",
            f"they are {str(images.dtype).removeprefix('torch.')}, from {low:.3g} to {high:.3g}",
            "give images.float() / 255 of 8-bit images, or images / 2 + 0.5 of images in [-1, 1]",
        )


class PreparedReward(Reward):
    """A reward that preprocesses each image on the host, and scores the preprocessed tensors on its device.

    The two run in parallel: while one batch is scored, the next is prepared. ``score(images)`` equals
    ``score_prepared(prepare(images))`` to the bit.
    """

    @abstractmethod
    def prepare(self, images: Sequence[Image]) -> torch.Tensor:
        """Returns N images as the tensor [N, ...] on the host that ``score_prepared`` takes. Must be thread-safe."""

    @abstractmethod
    def score_prepared(self, prepared: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        """Returns scores for evaluation, float32 [N] on the CPU, of a tensor that ``prepare`` returned."""


class StepScorer(Reward):
    """A reward that scores predictions x̂0 of noisy samples, given their timestep."""

    @abstractmethod
    def score_at(self, images: torch.Tensor, prompts: Sequence[str], tau: torch.Tensor) -> torch.Tensor:
        """Returns scores float32 [N] with a gradient, of images [N, 3, H, W] in [0, 1], on their device.

        ``tau`` is the training timestep of the samples that the images were predicted from, int64 [] or [N]; 0 is a
        finished image.
        """


@dataclass(frozen=True)
class Cond:
    """Text conditioning: ``text`` [N, L, D] and the empty prompt's ``null`` [1, L, D].

    SDXL and SD 3 also have ``pooled`` [N, P] with ``null_pooled`` [1, P]. SDXL has ``time_ids`` [N, 6]: height and
    width of the original, top and left of the crop, height and width of the target, in pixels.
    """

    text: torch.Tensor
    null: torch.Tensor
    pooled: torch.Tensor | None = None
    null_pooled: torch.Tensor | None = None
    time_ids: torch.Tensor | None = None

    def __getitem__(self, index: Any) -> Cond:
        return replace(self, **{name: rows[index] for name, rows in self._rows().items()})

    def repeat(self, times: int) -> Cond:
        """Returns the batch repeated ``times`` times: all rows, then all rows again."""
        return replace(self, **{name: v.repeat(times, *[1] * (v.dim() - 1)) for name, v in self._rows().items()})

    @classmethod
    def cat(cls, parts: Sequence[Cond]) -> Cond:
        """Returns one Cond with the rows of all parts, which must come from one model."""
        import torch

        rows = [part._rows() for part in parts]
        return replace(parts[0], **{name: torch.cat([part[name] for part in rows]) for name in rows[0]})

    def _rows(self) -> dict[str, torch.Tensor]:
        """Returns the fields that have one row for each sample."""
        named = {"text": self.text, "pooled": self.pooled, "time_ids": self.time_ids}
        return {name: value for name, value in named.items() if value is not None}


class _Batch:
    """Rows that the training loop may split. Tensor and Cond fields have one row for each sample; flags have none."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))  # type: ignore[arg-type]

    def __getitem__(self, index: Any) -> Self:
        return replace(self, **{name: value[index] for name, value in self.rows().items()})  # type: ignore[type-var]

    @classmethod
    def cat(cls, parts: Sequence[Self]) -> Self:
        """Returns one batch with the rows of all parts."""
        import torch

        rows = [part.rows() for part in parts]
        columns = {name: [part[name] for part in rows] for name in rows[0]}
        joined = {name: Cond.cat(c) if isinstance(c[0], Cond) else torch.cat(c) for name, c in columns.items()}
        return replace(parts[0], **joined)  # type: ignore[type-var]

    def rows(self) -> dict[str, Any]:
        """Returns the fields that have one row for each sample."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        return {name: value for name, value in values.items() if not isinstance(value, bool)}


@dataclass(frozen=True)
class Transitions(_Batch):
    """DDPO's denoising steps x -> x_next. ``k`` is the paper's step index T..1; latents are float32."""

    x: torch.Tensor  # [N, C, h, w]
    x_next: torch.Tensor  # [N, C, h, w]
    k: torch.Tensor  # [N] int64
    cond: Cond
    log_prob: torch.Tensor  # [N] under the policy that drew x_next
    advantage: torch.Tensor  # [N]


@dataclass(frozen=True)
class StepPairs(_Batch):
    """Pairs of a preferred and a dispreferred denoising step.

    With ``shared_parent`` both steps of every row start from the same sample: ``x_l`` is ``x_w``, stored and evaluated
    once.
    """

    x_w: torch.Tensor  # [N, C, h, w]
    x_l: torch.Tensor  # [N, C, h, w]
    next_w: torch.Tensor  # [N, C, h, w]
    next_l: torch.Tensor  # [N, C, h, w]
    k: torch.Tensor  # [N] int64
    cond: Cond
    weight: torch.Tensor  # [N]: 1, or 0 for a tie, which teaches nothing
    shared_parent: bool = False

    def __post_init__(self) -> None:
        if self.shared_parent and self.x_l is not self.x_w:
            object.__setattr__(self, "x_l", self.x_w)  # after slicing or joining: no second copy

    @classmethod
    def cat(cls, parts: Sequence[Self]) -> Self:
        """Returns one batch with the rows of all parts, with a shared parent where every part has one."""
        if all(part.shared_parent for part in parts):
            return super().cat(parts)
        return super().cat([replace(part, shared_parent=False) for part in parts])

    def rows(self) -> dict[str, Any]:
        """Returns the fields that have one row for each sample; a shared parent appears once, as ``x_w``."""
        rows = super().rows()
        if self.shared_parent:
            del rows["x_l"]  # it is x_w
        return rows


@dataclass(frozen=True)
class ImagePairs(_Batch):
    """Preferred and dispreferred images as scaled latents, float32, for offline methods.

    ``draw`` is the position of the row in the stream of pairs; its noise and timestep are functions of it. It stays in
    host memory, where they are drawn.
    """

    x_w: torch.Tensor  # [N, C, h, w]
    x_l: torch.Tensor  # [N, C, h, w]
    cond: Cond
    draw: torch.Tensor  # [N] int64


@dataclass(frozen=True)
class Images(_Batch):
    """Single images as scaled latents, float32, each with its label, for SFT, Diffusion-KTO and AWM."""

    x: torch.Tensor  # [N, C, h, w]
    cond: Cond
    draw: torch.Tensor  # [N] int64, as in ImagePairs
    label: torch.Tensor  # [N] float32: +1 where it was preferred, -1 where it was not; for AWM its advantage


@dataclass(frozen=True)
class LastSteps(_Batch):
    """The last K denoising steps of rollouts, to be taken again with gradient; all rows have one K."""

    x: torch.Tensor  # [N, C, h, w]: x_K, where they start
    z: torch.Tensor  # [N, K, C, h, w]: the noise of step k is z[:, k - 1], 0 for a step that draws none
    x0: torch.Tensor  # [N, C, h, w]: where they ended
    gradient: torch.Tensor  # [N, C, h, w] of the reward at x0
    cond: Cond


Batch = Transitions | StepPairs | ImagePairs | Images | LastSteps

"""The values that every package shares: settings, rewards, prompt sets, conditioning, batches. Imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from benchbench.runtime.hashing import text_sha256

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from benchbench.hub.assets import Asset


class Settings(BaseModel):
    """Frozen settings; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Reward(ABC):
    """Scores images. The class attributes are readable without any weight; making an instance loads the weights.

    ``version`` names the weights, so that scores of two versions are never mixed. ``range`` is where scores usually
    lie, in ``unit``s. N images and N prompts give N scores, the same for any batching and order.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    unit: ClassVar[str]
    range: ClassVar[tuple[float, float]]
    differentiable: ClassVar[bool]
    weights: ClassVar[str]  # where they come from: "none", "shipped", or hub ids
    trainable: ClassVar[bool] = True  # False: a gold reward that no method may be trained on
    assets: ClassVar[tuple[Asset, ...]] = ()  # files that `bench fetch` gets

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = device

    @classmethod
    def missing(cls) -> str | None:
        """What is not on this machine, in words, or None when an instance can be made offline."""
        return "; ".join(said for asset in cls.assets if (said := asset.missing())) or None

    def expect(self, prompts: Sequence[str]) -> None:
        """Is told which prompts are to come, and may read them together where that is faster. Changes no score."""

    @abstractmethod
    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> torch.Tensor:
        """Evaluation: float32 [N] on the CPU, with the authors' own preprocessing, from N RGB images."""

    def score_differentiable(self, images: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        """Training: float32 [N] on the images' device, with a gradient, from [N, 3, H, W] in [0, 1]."""
        raise TypeError(f"{self.name} is not differentiable")


class PreparedReward(Reward):
    """A reward that prepares images on the host, each by itself, and judges what was prepared on its device.

    Scoring does both at the same time. ``score(images)`` is ``score_prepared(prepare(images))`` to the bit.
    """

    @abstractmethod
    def prepare(self, images: Sequence[Image]) -> torch.Tensor:
        """Prepares N images for ``score_prepared``: [N, ...] in the host's memory. Threads may call it side by side."""

    @abstractmethod
    def score_prepared(self, prepared: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        """Evaluation: float32 [N] on the CPU, of what ``prepare`` gave."""


class StepScorer(Reward):
    """A reward that judges predictions x̂0 of unfinished samples, and is told how unfinished they are."""

    @abstractmethod
    def score_at(self, images: torch.Tensor, prompts: Sequence[str], tau: torch.Tensor) -> torch.Tensor:
        """float32 [N] on the images' device, with a gradient, from [N, 3, H, W] in [0, 1].

        ``tau`` is the training timestep that the samples behind the images have, int64 [] or [N]; 0 is a finished one.
        """


@dataclass(frozen=True)
class PromptSet:
    """Named prompts. ``origin`` and ``licence`` are for people; the hash of the texts goes into every image key."""

    name: str
    prompts: tuple[str, ...]
    origin: str
    licence: str

    @property
    def hash(self) -> str:
        """sha256 of the texts in order, so that no two splits are ever mixed under one name."""
        return text_sha256("\n".join(self.prompts))

    def __len__(self) -> int:
        return len(self.prompts)


@dataclass(frozen=True)
class Cond:
    """Text conditioning: ``text`` [N, L, D] and the empty prompt's ``null`` [1, L, D].

    SDXL has more: ``pooled`` [N, P] with ``null_pooled`` [1, P], and ``time_ids`` [N, 6], which are height and width of
    the original, top and left of the crop, height and width of the target, in pixels.
    """

    text: torch.Tensor
    null: torch.Tensor
    pooled: torch.Tensor | None = None
    null_pooled: torch.Tensor | None = None
    time_ids: torch.Tensor | None = None

    def __getitem__(self, index: Any) -> Cond:
        return replace(self, **{name: rows[index] for name, rows in self._rows().items()})

    def repeat(self, times: int) -> Cond:
        """The whole batch, ``times`` over."""
        return replace(self, **{name: v.repeat(times, *[1] * (v.dim() - 1)) for name, v in self._rows().items()})

    @classmethod
    def cat(cls, parts: Sequence[Cond]) -> Cond:
        """One Cond of all rows, of parts from one model."""
        import torch

        rows = [part._rows() for part in parts]
        return replace(parts[0], **{name: torch.cat([one[name] for one in rows]) for name in rows[0]})

    def _rows(self) -> dict[str, torch.Tensor]:
        """The fields that have a row a sample."""
        named = {"text": self.text, "pooled": self.pooled, "time_ids": self.time_ids}
        return {name: value for name, value in named.items() if value is not None}


class _Batch:
    """Rows that the loop may split: every tensor and Cond field has the same leading length; a flag has no rows."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))  # type: ignore[arg-type]

    def __getitem__(self, index: Any) -> Self:
        return replace(self, **{name: value[index] for name, value in self.rows().items()})  # type: ignore[type-var]

    @classmethod
    def cat(cls, parts: Sequence[Self]) -> Self:
        """One batch of all rows."""
        import torch

        rows = [part.rows() for part in parts]
        columns = {name: [one[name] for one in rows] for name in rows[0]}
        joined = {name: Cond.cat(c) if isinstance(c[0], Cond) else torch.cat(c) for name, c in columns.items()}
        return replace(parts[0], **joined)  # type: ignore[type-var]

    def rows(self) -> dict[str, Any]:
        """The fields that have a row a sample."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        return {name: value for name, value in values.items() if not isinstance(value, bool)}


@dataclass(frozen=True)
class Transitions(_Batch):
    """Denoising steps x -> x_next of DDPO. ``k`` is the paper's step index T..1; latents are float32."""

    x: torch.Tensor  # [N, C, h, w]
    x_next: torch.Tensor  # [N, C, h, w]
    k: torch.Tensor  # [N] int64
    cond: Cond
    log_prob: torch.Tensor  # [N] under the policy that drew x_next
    advantage: torch.Tensor  # [N]


@dataclass(frozen=True)
class StepPairs(_Batch):
    """A preferred and a dispreferred step.

    ``shared_parent`` says that both leave one sample in every row: ``x_l`` then is ``x_w``, which is kept once and
    evaluated once.
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
            object.__setattr__(self, "x_l", self.x_w)  # rows that were cut, joined or replaced: no second copy

    @classmethod
    def cat(cls, parts: Sequence[Self]) -> Self:
        """One batch of all rows, with a shared parent where every part has one."""
        if all(part.shared_parent for part in parts):
            return super().cat(parts)
        return super().cat([replace(part, shared_parent=False) for part in parts])

    def rows(self) -> dict[str, Any]:
        rows = super().rows()
        if self.shared_parent:
            del rows["x_l"]  # follows x_w
        return rows


@dataclass(frozen=True)
class ImagePairs(_Batch):
    """Preferred and dispreferred images as scaled latents, float32, of offline methods; SFT reads the winner alone.

    ``draw`` is the row's place in the stream of pairs: what its noise and timestep are drawn by. It stays in the
    host's memory, where that is done.
    """

    x_w: torch.Tensor  # [N, C, h, w]
    x_l: torch.Tensor  # [N, C, h, w]
    cond: Cond
    draw: torch.Tensor  # [N] int64


@dataclass(frozen=True)
class Images(_Batch):
    """Single images as scaled latents, float32, each with its verdict: what SFT and Diffusion-KTO read."""

    x: torch.Tensor  # [N, C, h, w]
    cond: Cond
    draw: torch.Tensor  # [N] int64, as in ImagePairs
    label: torch.Tensor  # [N] float32: +1 where it was preferred, -1 where it was not


Batch = Transitions | StepPairs | ImagePairs | Images

"""The base class of learned rewards: both scoring paths, and batches split to fit the memory.

Imports torch and what needs it only inside functions: `bench list` reads the class attributes and must not load torch.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from benchbench.api import MissingError, PreparedReward
from benchbench.runtime.memory import Splitter

from ._exact import use_exact_fp32

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from torch import Tensor

MAX_CHUNK = 128  # images at a time; more is no faster
RESERVE = 0.2  # share of the device's memory that is left to the policy and to other images


class NeuralReward(PreparedReward):
    """A network that scores images of ``side`` pixels, in float32 whatever the policy's precision.

    A subclass lists its ``assets``, names the ``transform`` of its authors, builds the network in ``load``, and scores
    preprocessed images in ``score_pixels``.
    """

    differentiable: ClassVar[bool] = True
    megabytes: ClassVar[int] = 500
    """Memory of one image's activations where a gradient is needed."""
    transform: ClassVar[Literal["torchvision", "transformers", "letterbox"]] = "torchvision"
    """The authors' resize and crop, a key of ``_preprocess.TRANSFORMS``."""
    own_asset: ClassVar[int] = 0
    """The place in ``assets`` of the file that a ``reward.yaml`` replaces by weights of the user's own."""
    side: int

    def __init__(self, device: torch.device | str = "cpu") -> None:
        import torch

        from . import _preprocess

        missing = self.missing()
        if missing:
            raise MissingError(
                f"the reward {self.name} has no weights on this machine", missing, f"bench fetch --rewards {self.name}"
            )
        super().__init__(torch.device(device))
        use_exact_fp32()
        self.preprocessing = _preprocess.TRANSFORMS[self.transform]
        self.load()
        size = first_chunk(torch.device(device), self.megabytes)
        self.fits = Splitter(f"in the reward {self.name}", size, row="image")

    @abstractmethod
    def load(self) -> None:
        """Builds the network on ``self.device`` from the files of ``assets``, and sets ``side``."""

    @abstractmethod
    def score_pixels(self, pixels: Tensor, prompts: Sequence[str]) -> Tensor:
        """Returns scores [N] of preprocessed images [N, 3, side, side]."""

    def refuses(self, width: int, height: int) -> str | None:
        """Returns why images of this size cannot be resized, or None."""
        return self.preprocessing.refuses(width, height, self.side)

    def prepare(self, images: Sequence[Image]) -> Tensor:
        """Returns N images, preprocessed as by the authors' code: [N, 3, side, side] on the CPU."""
        return self.preprocessing.from_pil(images, self.side)

    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> Tensor:
        """Returns scores for evaluation, float32 [N] on the CPU."""
        import torch

        @torch.no_grad()
        def part(rows: slice) -> Tensor:
            return self._score_exact(self.prepare(images[rows]).to(self.device), prompts[rows]).cpu()

        self.expect(prompts)
        return self._in_chunks(part, len(images), len(prompts))

    def score_prepared(self, prepared: Tensor, prompts: Sequence[str]) -> Tensor:
        """Returns scores for evaluation, float32 [N] on the CPU, of a tensor that ``prepare`` returned."""
        import torch

        @torch.no_grad()
        def part(rows: slice) -> Tensor:
            return self._score_exact(prepared[rows].to(self.device), prompts[rows]).cpu()

        self.expect(prompts)
        return self._in_chunks(part, len(prepared), len(prompts))

    def score_differentiable(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Returns scores for training, float32 [N] with a gradient, of images [N, 3, H, W] in [0, 1]."""

        def part(rows: slice) -> Tensor:
            return self._score_exact(self.preprocessing.from_tensor(images[rows], self.side), prompts[rows])

        self.expect(prompts)
        return self._in_chunks(part, len(images), len(prompts))

    def _score_exact(self, pixels: Tensor, prompts: Sequence[str]) -> Tensor:
        """Returns scores [N] without autocast: a cosine in half precision has steps of 0.02 points."""
        import torch

        with torch.autocast(pixels.device.type, enabled=False):
            return self.score_pixels(pixels, list(prompts)).float()

    def _in_chunks(self, part: Callable[[slice], Tensor], count: int, prompts: int) -> Tensor:
        """Returns the scores of all rows, computed in chunks that fit the memory."""
        import torch

        if count != prompts:
            raise ValueError(f"{count} images for {prompts} prompts")
        return self.fits(part, count) if count else torch.zeros(0)


def first_chunk(device: Any, megabytes: int) -> int:
    """Returns the number of images whose activations for a gradient fit the device's memory less a reserve.

    It counts all memory of the device, not the free part, so that every run has the same chunks and the same rounding.
    """
    import torch

    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory
    else:
        try:
            memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError, OSError):  # not on every system
            memory = 2**31
    return max(1, min(MAX_CHUNK, int((1 - RESERVE) * memory / (megabytes * 1e6))))

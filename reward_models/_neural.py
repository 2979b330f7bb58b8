"""What the learned rewards share: where weights are, chunks that fit the memory, the two paths from image to score."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from benchbench.api import MissingError, PreparedReward
from benchbench.runtime.memory import Splitter

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from torch import Tensor

MOST = 128  # images at a time; more is no faster
RESERVE = 0.2  # share of the device's memory that is left to the policy and to what other images there are


class NeuralReward(PreparedReward):
    """A network that judges images of ``side`` pixels, in float32 whatever the policy's precision.

    A subclass names its ``assets``, loads them in ``load``, and turns images (``prepare`` for PIL, ``prepare_tensor``
    with a gradient) into what ``judge`` reads.
    """

    differentiable: ClassVar[bool] = True
    megabytes: ClassVar[int] = 500
    """Memory that one image's activations take where a gradient is asked for."""
    side: int

    def __init__(self, device: torch.device | str = "cpu") -> None:
        import torch

        from benchbench.runtime.precision import exact_fp32

        absent = self.missing()
        if absent:
            raise MissingError(
                f"the reward {self.name} has no weights on this machine", absent, f"bench fetch --rewards {self.name}"
            )
        super().__init__(torch.device(device))
        exact_fp32()
        self.load()
        most = first_chunk(torch.device(device), self.megabytes)
        self.fits = Splitter(f"in the reward {self.name}", most, row="image")

    @abstractmethod
    def load(self) -> None:
        """Builds the network on ``self.device`` from the files of ``assets``; sets ``side``."""

    @abstractmethod
    def prepare(self, images: Sequence[Image]) -> Tensor:
        """N images as the authors' own code prepares them: [N, 3, side, side]."""

    @abstractmethod
    def prepare_tensor(self, images: Tensor) -> Tensor:
        """[N, 3, H, W] in [0, 1] to [N, 3, side, side], with a gradient."""

    @abstractmethod
    def judge(self, pixels: Tensor, prompts: Sequence[str]) -> Tensor:
        """Scores [N] of prepared images."""

    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> Tensor:
        import torch

        @torch.no_grad()
        def part(rows: slice) -> Tensor:
            return self._judge(self.prepare(images[rows]).to(self.device), prompts[rows]).cpu()

        self.expect(prompts)
        return self._chunked(part, len(images), len(prompts))

    def score_prepared(self, prepared: Tensor, prompts: Sequence[str]) -> Tensor:
        import torch

        @torch.no_grad()
        def part(rows: slice) -> Tensor:
            return self._judge(prepared[rows].to(self.device), prompts[rows]).cpu()

        self.expect(prompts)
        return self._chunked(part, len(prepared), len(prompts))

    def score_differentiable(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        def part(rows: slice) -> Tensor:
            return self._judge(self.prepare_tensor(images[rows]), prompts[rows])

        self.expect(prompts)
        return self._chunked(part, len(images), len(prompts))

    def _judge(self, pixels: Tensor, prompts: Sequence[str]) -> Tensor:
        import torch

        with torch.autocast(pixels.device.type, enabled=False):  # a half-precision cosine has steps of 0.02 points
            return self.judge(pixels, list(prompts)).float()

    def _chunked(self, part: Callable[[slice], Tensor], count: int, prompts: int) -> Tensor:
        """The scores of all rows, in parts where there are too many of them for the memory."""
        import torch

        if count != prompts:
            raise ValueError(f"{count} images for {prompts} prompts")
        return self.fits(part, count) if count else torch.zeros(0)


def first_chunk(device: Any, megabytes: int) -> int:
    """Returns the number of images that the device's memory less a reserve holds, with activations for a gradient.

    The memory is all that the device has and not what is free of it now, so that every run has the same parts, and with
    them the same rounding.
    """
    import torch

    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory
    else:
        try:
            memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError, OSError):  # not on every system
            memory = 2**31
    return max(1, min(MOST, int((1 - RESERVE) * memory / (megabytes * 1e6))))

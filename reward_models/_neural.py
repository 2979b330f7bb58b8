"""What the learned rewards share: where weights are, chunks that fit the memory, the two paths from image to score."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from benchbench.api import Reward
from benchbench.errors import MissingError, RunError

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from torch import Tensor

MOST = 128  # images at a time; more is no faster


class NeuralReward(Reward):
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

        absent = self.missing()
        if absent:
            raise MissingError(
                f"the reward {self.name} has no weights on this machine", absent, f"bench fetch --rewards {self.name}"
            )
        super().__init__(torch.device(device))
        self.load()
        self.chunk = first_chunk(torch.device(device), self.megabytes)

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

        return self._chunked(part, len(images), len(prompts))

    def score_differentiable(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        def part(rows: slice) -> Tensor:
            return self._judge(self.prepare_tensor(images[rows]), prompts[rows])

        return self._chunked(part, len(images), len(prompts))

    def _judge(self, pixels: Tensor, prompts: Sequence[str]) -> Tensor:
        import torch

        with torch.autocast(pixels.device.type, enabled=False):  # a half-precision cosine has steps of 0.02 points
            return self.judge(pixels, list(prompts)).float()

    def _chunked(self, part: Callable[[slice], Tensor], count: int, prompts: int) -> Tensor:
        """The scores of all rows, ``self.chunk`` at a time; half as many after an out-of-memory error, from then on."""
        import torch

        if count != prompts:
            raise ValueError(f"{count} images for {prompts} prompts")
        scores: list[Tensor] = []
        start = 0
        while start < count:
            try:
                scores.append(part(slice(start, start + self.chunk)))
                start += self.chunk
                continue
            except torch.OutOfMemoryError as error:
                if self.chunk == 1:
                    raise RunError(
                        f"out of memory with one image in the reward {self.name}",
                        str(error).splitlines()[0],
                        "free memory on the device, or score on another one",
                    ) from error
            self.chunk = max(1, min(self.chunk, count - start) // 2)
            if torch.cuda.is_available():  # out here, where the failed chunk is referenced no more
                torch.cuda.empty_cache()
        return torch.cat(scores) if scores else torch.zeros(0)


def first_chunk(device: Any, megabytes: int) -> int:
    """Images at a time that fit into 80 % of the memory that is free now, each with its activations for a gradient."""
    import torch

    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    else:
        try:
            free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError, OSError):  # not on every system
            free = 2**31
    return max(1, min(MOST, int(0.8 * free / (megabytes * 1e6))))

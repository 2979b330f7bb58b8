"""The only source of randomness: a function of what it is for, never of when it is drawn or in which batch.

A draw is named by the seed and by words: ``Noise(0, "train").normal(samples, "z", k, shape=...)`` gives sample i the
same numbers whatever stands beside it in the batch, on however many processes, before or after a resumption.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

Word = str | int
_as_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # made once: called for every draw


class Sample(NamedTuple):
    """The identity of one image to be made: its prompt, its number, and the prompt's place in its set."""

    prompt: str
    number: int
    index: int = 0  # type: ignore[assignment]  # hides tuple.index, which nobody needs here


def hash64(*words: object) -> int:
    """A 63-bit integer from JSON-able words: the seed of one draw."""
    return int.from_bytes(hashlib.blake2b(_as_json(words).encode(), digest_size=8).digest(), "big") >> 1


def hand_over(values: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    """A copy on the device that nobody waits for: from pageable memory it would wait for all that a GPU has to do.

    A fake tensor, which has a shape and no values, has no memory to pin.
    """
    import torch

    if torch.device(device).type == "cuda" and type(values) is torch.Tensor:
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


@dataclass(frozen=True)
class Noise:
    """Draws for one seed in one realm (``train``, ``eval``, ...), so that two realms never share a draw."""

    seed: int
    realm: str

    def generator(self, *what: Word) -> torch.Generator:
        """A CPU generator for the draw named ``what``."""
        import torch

        return torch.Generator().manual_seed(hash64(self.seed, self.realm, *what))

    def normal(
        self, samples: Sequence[Sample], *what: Word, shape: tuple[int, ...], device: torch.device | str = "cpu"
    ) -> torch.Tensor:
        """Standard normal numbers, float32 [len(samples), *shape], row i a function of (seed, sample i, what) alone."""
        import torch

        rows, generator = torch.empty(len(samples), *shape), torch.Generator()
        for row, sample in zip(rows, samples, strict=True):
            row.normal_(generator=generator.manual_seed(hash64(self.seed, self.realm, *sample, *what)))
        return hand_over(rows, device)

    def permutation(self, n: int, *what: Word) -> list[int]:
        """A permutation of 0..n-1."""
        import torch

        return torch.randperm(n, generator=self.generator("permutation", *what)).tolist()

    def integer(self, below: int, *what: Word) -> int:
        """A whole number in [0, below)."""
        return hash64(self.seed, self.realm, "integer", *what) % below

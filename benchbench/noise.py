"""The only source of randomness. A draw depends on its name, never on when or in which batch it is drawn.

The seed and some words name a draw: ``Noise(0, "train").normal(samples, "z", k, shape=...)`` gives sample i the same
numbers in every batch, on any number of processes, and after a resumption.

Imports torch only inside functions: modules that need ``Sample`` alone must not load it.
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
_as_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # built once, since every draw calls it


class Sample(NamedTuple):
    """The identity of one generated image: its prompt, its number, and the index of the prompt in its set."""

    prompt: str
    number: int
    index: int = 0  # type: ignore[assignment]  # hides tuple.index, which is not used


def hash64(*words: object) -> int:
    """Returns the seed of one draw: a 63-bit hash of JSON-able words."""
    return int.from_bytes(hashlib.blake2b(_as_json(words).encode(), digest_size=8).digest(), "big") >> 1


def copy_to_device(values: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    """Copies to the device asynchronously (pins first: a copy from pageable memory would synchronise with the GPU)."""
    import torch

    if torch.device(device).type == "cuda" and type(values) is torch.Tensor:  # a fake tensor has no memory to pin
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


@dataclass(frozen=True)
class Noise:
    """The draws of one seed in one realm (``train``, ``eval``, ...); two realms never share a draw."""

    seed: int
    realm: str

    def generator(self, *words: Word) -> torch.Generator:
        """Returns a CPU generator for the draw that ``words`` name."""
        import torch

        return torch.Generator().manual_seed(hash64(self.seed, self.realm, *words))

    def normal(
        self, samples: Sequence[Sample], *words: Word, shape: tuple[int, ...], device: torch.device | str = "cpu"
    ) -> torch.Tensor:
        """Returns standard normal float32 [len(samples), *shape]; row i depends on seed, realm, sample i and words."""
        import torch

        rows, generator = torch.empty(len(samples), *shape), torch.Generator()
        for row, sample in zip(rows, samples, strict=True):
            row.normal_(generator=generator.manual_seed(hash64(self.seed, self.realm, *sample, *words)))
        return copy_to_device(rows, device)

    def permutation(self, n: int, *words: Word) -> list[int]:
        """Returns a permutation of 0..n-1."""
        import torch

        return torch.randperm(n, generator=self.generator("permutation", *words)).tolist()

    def integer(self, below: int, *words: Word) -> int:
        """Returns an integer in [0, below)."""
        return hash64(self.seed, self.realm, "integer", *words) % below

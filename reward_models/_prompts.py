"""A bounded cache of tensors of prompts, on a reward's device."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch
from torch import Tensor

from benchbench.runtime.precision import arithmetic

Key = TypeVar("Key", bound=Hashable)


class PromptCache(Generic[Key]):
    """The tensors of the ``size`` keys that were used last. A key is a prompt, or a tuple of prompts."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._tensors: OrderedDict[Key, Tensor] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tensors)

    def get(self, keys: Sequence[Key], make: Callable[[list[Key]], Iterable[Tensor]], device: torch.device) -> Tensor:
        """Returns the tensors of the keys, stacked: [N, ...].

        One call of ``make`` computes those that are missing, in exact float32 and without gradient: exact scores use
        them later, even if a score in TF32 is what first needs them.
        """
        distinct = list(dict.fromkeys(keys))
        new = [key for key in distinct if key not in self._tensors]
        if new:
            with _exact(device):
                self._tensors.update(zip(new, make(new), strict=True))
        stacked = torch.stack([self._tensors[key] for key in keys])
        for key in distinct:
            self._tensors.move_to_end(key)
        while len(self._tensors) > self.size:
            self._tensors.popitem(last=False)
        return stacked


@contextmanager
def _exact(device: torch.device) -> Iterator[None]:
    """Computes in exact float32 without gradient inside the block, whatever precision holds outside."""
    with torch.no_grad(), torch.autocast(device.type, enabled=False), arithmetic("fp32", device):
        yield

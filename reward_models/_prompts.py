"""Keeps a reward's tensors of each prompt on its device."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor

from benchbench.runtime.precision import arithmetic

Key = TypeVar("Key", bound=Hashable)


def look_up(
    known: OrderedDict[Key, Tensor], wanted: Sequence[Key], make: Callable[[list[Key]], Iterable[Tensor]], most: int
) -> Tensor:
    """A row for each wanted key, stacked: [N, ...].

    Those that are not ``known`` yet are made in one call of ``make`` and added. Afterwards the ``most`` keys that were
    wanted last are kept.
    """
    distinct = list(dict.fromkeys(wanted))
    new = [key for key in distinct if key not in known]
    if new:
        known.update(zip(new, make(new), strict=True))
    rows = torch.stack([known[key] for key in wanted])
    for key in distinct:
        known.move_to_end(key)
    while len(known) > most:
        known.popitem(last=False)
    return rows


@contextmanager
def exactly(device: torch.device) -> Iterator[None]:
    """For making what is kept: exact float32 without a gradient, whatever precision holds outside.

    What a judgement in TF32 has read serves exact scores afterwards.
    """
    with torch.no_grad(), torch.autocast(device.type, enabled=False), arithmetic("fp32", device):
        yield

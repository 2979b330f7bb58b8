"""Ranking of two candidates, and picking rows of them without waiting for the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import torch
from torch import Tensor

from benchbench.api import Metrics, Noise, Sample, Step, hand_over


def rank(r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of winners and of losers, int64 [N] each, among 2N candidates (0s, then 1s), and weights [N].

    A tie keeps candidate 0 as winner (TailorPO eq. 22) and has weight 0: it teaches nothing.
    """
    r_0, r_1 = r.chunk(2)
    n, first = len(r_0), r_0 >= r_1
    rows = torch.arange(n, device=r.device)
    return rows + torch.where(first, 0, n), rows + torch.where(first, n, 0), (r_0 != r_1).float()


@overload
def either(mask: Tensor, a: Tensor, b: Tensor) -> Tensor: ...
@overload
def either(mask: Tensor, a: Step | None, b: Step | None) -> Step | None: ...
def either(mask: Tensor, a: Tensor | Step | None, b: Tensor | Step | None) -> Tensor | Step | None:
    """Rows of ``a`` where ``mask`` [N] holds, else of ``b``; None where one of them is."""
    if a is None or b is None:
        return None
    if isinstance(a, Step) and isinstance(b, Step):
        return Step(either(mask, a.mean, b.mean), either(mask, a.std, b.std), either(mask, a.x0, b.x0))
    assert isinstance(a, Tensor) and isinstance(b, Tensor)
    return torch.where(mask.view(-1, *[1] * (a.dim() - 1)), a, b)


def any_of(
    count: int, noise: Noise, samples: Sequence[Sample], k: int, device: torch.device, what: str = "carry"
) -> Tensor:
    """A number below ``count`` for each sample at step k, all equally likely, int64 [N]."""
    drawn = [noise.integer(count, what, k, *sample) for sample in samples]
    return hand_over(torch.tensor(drawn), device)


def means(seen: Sequence[Metrics]) -> Metrics:
    """The mean of each metric over those that name it."""
    names = dict.fromkeys(name for metrics in seen for name in metrics)
    held = {name: [metrics[name] for metrics in seen if name in metrics] for name in names}
    return {name: sum(values[1:], start=values[0]) / len(values) for name, values in held.items()}

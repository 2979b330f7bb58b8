"""Ranks two candidates and selects rows among candidates, without waiting for the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import torch
from torch import Tensor

from benchbench.api import Metrics, Noise, Sample, Step, copy_to_device


def rank(r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the rows of winners and of losers, int64 [N] each, and weights [N], from rewards [2N].

    The rewards are those of candidate 0 of all samples, then of candidate 1. A tie keeps candidate 0 as winner
    (TailorPO eq. 22) and has weight 0, so that nothing is learned from it.
    """
    r_0, r_1 = r.chunk(2)
    n, zero_wins = len(r_0), r_0 >= r_1
    rows = torch.arange(n, device=r.device)
    return rows + torch.where(zero_wins, 0, n), rows + torch.where(zero_wins, n, 0), (r_0 != r_1).float()


def rank_by_dominance(scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns what ``rank`` returns, from the scores [2N, M] of M rewards.

    A candidate wins that is at least as good in every reward and better in one (released D3PO, ``compare``). Where
    neither is, nothing is learned from the pair.
    """
    s_0, s_1 = scores.chunk(2)
    zero_wins = (s_0 >= s_1).all(1) & (s_0 > s_1).any(1)
    one_wins = (s_1 >= s_0).all(1) & (s_1 > s_0).any(1)
    return rank(torch.cat([zero_wins, one_wins]).float())


@overload
def select_rows(mask: Tensor, a: Tensor, b: Tensor) -> Tensor: ...
@overload
def select_rows(mask: Tensor, a: Step | None, b: Step | None) -> Step | None: ...
def select_rows(mask: Tensor, a: Tensor | Step | None, b: Tensor | Step | None) -> Tensor | Step | None:
    """Returns the rows of ``a`` where ``mask`` [N] is true and the rows of ``b`` elsewhere; None if a or b is None."""
    if a is None or b is None:
        return None
    if isinstance(a, Step) and isinstance(b, Step):
        return Step(select_rows(mask, a.mean, b.mean), select_rows(mask, a.std, b.std), select_rows(mask, a.x0, b.x0))
    assert isinstance(a, Tensor) and isinstance(b, Tensor)
    return torch.where(mask.view(-1, *[1] * (a.dim() - 1)), a, b)


def draw_candidates(
    count: int, noise: Noise, samples: Sequence[Sample], k: int, device: torch.device, word: str = "carry"
) -> Tensor:
    """Returns a uniform random candidate number below ``count`` for each sample at step k, int64 [N].

    ``word`` names the draw: different words give independent draws.
    """
    numbers = [noise.integer(count, word, k, *sample) for sample in samples]
    return copy_to_device(torch.tensor(numbers), device)


def mean_metrics(steps: Sequence[Metrics]) -> Metrics:
    """Returns the mean of each metric over the steps that report it."""
    names = dict.fromkeys(name for metrics in steps for name in metrics)
    by_name = {name: [metrics[name] for metrics in steps if name in metrics] for name in names}
    return {name: sum(values[1:], start=values[0]) / len(values) for name, values in by_name.items()}

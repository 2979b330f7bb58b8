"""Batches keep their rows together, however they are cut and joined."""

from __future__ import annotations

from dataclasses import replace

import torch

from benchbench.api import StepPairs
from benchbench.types import Cond


def pairs(rows: int, shared_parent: bool) -> StepPairs:
    x_w, x_l, next_w, next_l = (torch.randn(rows, 4, 2, 2) for _ in range(4))
    cond = Cond(torch.randn(rows, 3, 5), torch.zeros(1, 3, 5))
    k = torch.arange(rows)
    return StepPairs(x_w, x_w if shared_parent else x_l, next_w, next_l, k, cond, torch.ones(rows), shared_parent)


def test_a_shared_parent_is_held_once_after_every_cut_and_join() -> None:
    whole = pairs(4, True)
    for batch in (whole[:2], StepPairs.cat([whole[:2], whole[2:]]), replace(whole, x_w=whole.x_w + 1)):
        assert batch.shared_parent and batch.x_l is batch.x_w
    again = StepPairs.cat([whole[:2], whole[2:]])
    assert torch.equal(again.x_w, whole.x_w) and torch.equal(again.cond.text, whole.cond.text)


def test_parts_that_share_no_parent_make_a_batch_that_shares_none() -> None:
    one, other = pairs(2, True), pairs(3, False)
    joined = StepPairs.cat([one, other])
    assert not joined.shared_parent and len(joined) == 5
    assert torch.equal(joined.x_l, torch.cat([one.x_w, other.x_l]))
    assert not other[:1].shared_parent and torch.equal(other[1:].x_l, other.x_l[1:])

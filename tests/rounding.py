"""Comparing what is computed twice in batches of other shapes, or in other rows of a batch."""

from __future__ import annotations

import torch
from torch import Tensor


def assert_same_but_rounding(found: Tensor, wanted: Tensor, within: float = 2e-5) -> None:
    """Asserts that every entry agrees within ``within`` times the largest entry of ``wanted``.

    A matrix product sums its terms in an order that depends on the processor, the number of threads and the shape, and
    each sum is off by about 1e-7 of its terms. Entries of a tensor are sums of terms of one size, so a small entry is
    as far off as a large one and a tolerance relative to each entry means nothing. A network and twenty denoising
    steps make up to a hundred times 1e-7 of it. Two samples of a batch differ by about as much as the largest entry.
    """
    largest = float(wanted.detach().abs().max())
    torch.testing.assert_close(found, wanted, atol=within * largest, rtol=0)

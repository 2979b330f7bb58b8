"""Rows of a batch side by side on a CPU's cores: small layers are too short to be shared out among them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

FEWEST = 16  # rows a core; below that a call costs more than sharing its layers out would lose


def side_by_side(run: Callable[[slice], Tensor], rows: int, threads: int) -> list[Tensor]:
    """``run``, without gradient, of parts of the rows, in their order: as many parts as there are threads for.

    ``run`` changes nothing that another part reads. Parts change rounding alone.
    """
    count = min(threads, rows // FEWEST)
    if count < 2:
        return [run(slice(0, rows))]
    ends = [rows * i // count for i in range(count + 1)]
    parts = [slice(start, stop) for start, stop in zip(ends, ends[1:], strict=False)]

    def alone(part: slice) -> Tensor:
        with torch.no_grad():  # which, as the number of threads, every thread is told for itself
            return run(part)

    try:
        with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(threads // count,)) as pool:
            return list(pool.map(alone, parts))
    finally:
        torch.set_num_threads(threads)  # that of threads to come

"""Rows side by side on a CPU's cores: small layers are too short to be shared out among them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import cache
from itertools import islice, pairwise
from typing import TypeVar

import torch

FEWEST = 16  # rows a core; below that a call costs more than sharing its layers out would lose
T = TypeVar("T")


def side_by_side(
    run: Callable[[slice], T], batches: Sequence[slice], threads: int
) -> Generator[tuple[slice, T], None, None]:
    """``run``, without gradient, of every batch of rows in parts, as many at a time as there are threads for.

    Each part comes once it is done, with its rows; a thread that is free goes on with the next one, of any batch. How a
    batch is cut, and on how many threads a part runs, is a function of its own rows, so that it has the same bits in
    any company; parts change rounding alone. ``run`` changes nothing that another part reads. Where one fails, or the
    caller closes this early, those that have begun are waited for and no other is begun.
    """
    cut = [_parts(batch, threads) for batch in batches]
    work = [(part, max(1, threads // len(parts))) for parts in cut for part in parts]

    @torch.no_grad()  # which, as the number of threads, every thread is told for itself
    def alone(part: slice) -> T:
        return run(part)

    def beside_others(part: slice, share: int) -> T:
        torch.get_num_threads()  # a new thread takes up the common number when first asked, and would forget its own
        torch.set_num_threads(share)
        return alone(part)

    if len(work) == len(cut):  # nothing is cut
        for part, _ in work:
            yield part, alone(part)
        return
    left, running, before = iter(work), dict[Future[T], slice](), torch.get_num_threads()

    def start(count: int) -> None:
        for part, share in islice(left, count):
            running[_pool(threads).submit(beside_others, part, share)] = part

    try:
        start(threads // min(share for _, share in work))
        while running:
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                part, found = running.pop(done), done.result()
                start(1)
                yield part, found
    finally:
        try:
            wait(running)
        finally:
            torch.set_num_threads(before)  # that of threads to come


def _parts(batch: slice, threads: int) -> list[slice]:
    """A batch in equal parts, one a thread while they are large enough."""
    rows = batch.stop - batch.start
    count = max(1, min(threads, rows // FEWEST))
    ends = [batch.start + rows * i // count for i in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(ends)]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that stay: what they have freed the C library keeps for each by itself, and new ones would not get it."""
    return ThreadPoolExecutor(threads, thread_name_prefix="rows")

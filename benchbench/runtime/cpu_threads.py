"""Runs parts of a batch in parallel threads on a CPU; the layers are too small to be split among cores themselves."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import cache
from itertools import islice, pairwise
from typing import TypeVar

import torch

MIN_ROWS = 16  # per thread; with fewer the overhead of a call is larger than the gain
T = TypeVar("T")


def run_in_threads(
    run: Callable[[slice], T], batches: Sequence[slice], threads: int
) -> Generator[tuple[slice, T], None, None]:
    """Yields each part of the batches with the result of ``run`` for it, without gradient, as soon as it is done.

    A free thread takes the next part, of any batch. The parts of a batch, and the threads of each part, depend on the
    size of that batch alone, so a batch gives the same bits whatever runs beside it; cutting changes rounding only.
    ``run`` must not change data that another part reads. Where a part fails, or the caller closes the generator, the
    running parts are waited for and no further part starts.
    """
    cut_batches = [_parts(batch, threads) for batch in batches]
    tasks = [(part, max(1, threads // len(parts))) for parts in cut_batches for part in parts]

    @torch.no_grad()  # holds for one thread only, as does the number of threads
    def run_part(part: slice) -> T:
        return run(part)

    def run_in_pool(part: slice, part_threads: int) -> T:
        torch.get_num_threads()  # its first call in a thread sets the global number, so it must come first
        torch.set_num_threads(part_threads)
        return run_part(part)

    if len(tasks) == len(cut_batches):  # no batch was cut
        for part, _ in tasks:
            yield part, run_part(part)
        return
    remaining, running, threads_before = iter(tasks), dict[Future[T], slice](), torch.get_num_threads()

    def start(count: int) -> None:
        for part, part_threads in islice(remaining, count):
            running[_pool(threads).submit(run_in_pool, part, part_threads)] = part

    try:
        start(threads // min(part_threads for _, part_threads in tasks))
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                part, result = running.pop(future), future.result()
                start(1)
                yield part, result
    finally:
        try:
            wait(running)
        finally:
            torch.set_num_threads(threads_before)  # also the number of threads created later


def _parts(batch: slice, threads: int) -> list[slice]:
    """Returns the batch in equal parts: one per thread, or fewer so that each has at least MIN_ROWS rows."""
    rows = batch.stop - batch.start
    count = max(1, min(threads, rows // MIN_ROWS))
    ends = [batch.start + rows * i // count for i in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(ends)]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Returns a pool that lives as long as the process: glibc keeps freed memory per thread for its next use."""
    return ThreadPoolExecutor(threads, thread_name_prefix="rows")

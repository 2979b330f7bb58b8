"""Reads images and prepares them for a reward in threads, while the device scores those before them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar

from benchbench.runtime.cores import cores
from benchbench.types import PreparedReward, Reward

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

BATCHES = 2  # that are read while another one is scored: of 64 images of 512 px, 150 MB at most
MOST = 8  # threads
FEWEST = 4  # pieces of a batch: where it is interrupted, the piece that has begun is waited for
T = TypeVar("T")


def read_ahead(
    items: Sequence[T], size: int, read: Callable[[T], Image], reward: Reward, device: str
) -> Generator[tuple[Sequence[T], Sequence[Image] | Tensor], None, None]:
    """The items in batches, in their order, each with what ``reward`` scores: its images, or these prepared.

    Where reading an image fails, its batch raises the error, after all batches before it. On a CPU one thread reads,
    since the others are needed to score.
    """
    import torch

    prepare = reward.prepare if isinstance(reward, PreparedReward) else None
    threads = 1 if torch.device(device).type == "cpu" else min(MOST, cores())
    before = torch.get_num_threads()

    def alone() -> None:
        torch.get_num_threads()  # a new thread takes up the common number when first asked, and would forget its own
        torch.set_num_threads(1)

    def some(part: Sequence[T]) -> list[Image] | Tensor:
        images = [read(item) for item in part]
        return images if prepare is None else prepare(images)

    each = -(-size // max(threads, FEWEST))  # images that a thread reads in one go
    starts = iter(range(0, len(items), size))
    begun: deque[tuple[Sequence[T], list[Future[list[Image] | Tensor]]]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="read", initializer=alone)
    try:
        while True:
            for start in islice(starts, BATCHES + 1 - len(begun)):
                part = items[start : start + size]
                begun.append((part, [pool.submit(some, part[i : i + each]) for i in range(0, len(part), each)]))
            if not begun:
                return
            part, futures = begun.popleft()
            found: list[Any] = [future.result() for future in futures]
            yield part, list(chain.from_iterable(found)) if prepare is None else torch.cat(found)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)  # that of threads to come

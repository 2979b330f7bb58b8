"""Reads images and prepares them for a reward in threads, while the device scores the batch before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar

from benchbench import reward_calls
from benchbench.runtime.cores import cores
from benchbench.types import PreparedReward, Reward

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

BATCHES = 2  # batches read in advance: with 64 images of 512 px each, at most 150 MB
MAX_THREADS = 8
MIN_PIECES = 4  # pieces of a batch; an interruption waits for the pieces that have begun, so they must be small
T = TypeVar("T")


def read_ahead(
    items: Sequence[T], size: int, read: Callable[[T], Image], reward: Reward, device: str
) -> Generator[tuple[Sequence[T], Sequence[Image] | Tensor], None, None]:
    """Yields the items in order, ``size`` at a time, with their images, or what ``reward.prepare`` made of them.

    If an image cannot be read, its batch raises the error, after all batches before it. On a CPU one thread reads,
    since scoring needs the others.
    """
    import torch

    prepare = partial(reward_calls.prepare, reward) if isinstance(reward, PreparedReward) else None
    threads = 1 if torch.device(device).type == "cpu" else min(MAX_THREADS, cores())
    torch_threads = torch.get_num_threads()

    def use_one_torch_thread() -> None:
        torch.get_num_threads()  # the first call in a thread sets the process's number, so it must come before ours
        torch.set_num_threads(1)

    def read_piece(piece: Sequence[T]) -> list[Image] | Tensor:
        images = [read(item) for item in piece]
        return images if prepare is None else prepare(images)

    piece_size = -(-size // max(threads, MIN_PIECES))
    starts = iter(range(0, len(items), size))
    begun: deque[tuple[Sequence[T], list[Future[list[Image] | Tensor]]]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="read", initializer=use_one_torch_thread)
    try:
        while True:
            for start in islice(starts, BATCHES + 1 - len(begun)):
                batch = items[start : start + size]
                pieces = [batch[i : i + piece_size] for i in range(0, len(batch), piece_size)]
                begun.append((batch, [pool.submit(read_piece, piece) for piece in pieces]))
            if not begun:
                return
            batch, futures = begun.popleft()
            results: list[Any] = [future.result() for future in futures]
            yield batch, list(chain.from_iterable(results)) if prepare is None else torch.cat(results)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(torch_threads)  # the number that threads started later will have

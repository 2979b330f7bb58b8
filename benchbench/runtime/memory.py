"""Handles out of memory: the rows are halved, and the computation goes on.

This is only for rows that do not see each other, so that computing them in parts changes nothing but rounding. Where
nothing fails, a function is called as often, and with as many rows, as it would be without a splitter.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from benchbench.errors import NoMemoryError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
# Besides the errors that have a class of their own: what PyTorch says on the CPU, and what CUDA and its libraries say
# when they find no memory for themselves.
MARKS = (
    "DefaultCPUAllocator: can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
REMEDY = "free memory on the device, or use one that has more"
_inside_graph: ContextVar[bool] = ContextVar("inside_graph", default=False)


class Splitter:
    """Runs a function on all rows at once, or on ``size`` at a time; out of memory halves the size and goes on.

    ``what`` and ``row`` are words for messages: what is being done ("decoding"), and what a row is ("image").
    ``size`` is the largest number of rows at a time; None sets no limit. It may be set at any moment, and it is lowered
    after an out-of-memory error, for good. ``log`` and ``changed`` are then told once, when a size has fitted.
    ``remedy`` is the last line of the error that ends the run where one row is too many. ``further`` is what can still
    be done there: it does it and returns words for it, or None where nothing is left to do.

    ``graph`` says that the parts build a graph for a gradient. The graph holds most of the memory then, so that every
    splitter inside such a part leaves an out-of-memory error to this one, which can drop the graph and cut it smaller.
    """

    def __init__(
        self,
        what: str,
        size: int | None = None,
        *,
        row: str = "row",
        graph: bool = False,
        log: Callable[[str], Any] | None = None,
        changed: Callable[[int], Any] | None = None,
        further: Callable[[], str | None] | None = None,
        remedy: str = REMEDY,
    ) -> None:
        self.what, self.size, self.row, self.graph, self.remedy = what, size, row, graph, remedy
        self.log, self.changed, self.further = log, changed, further
        self._done: str | None = None  # what ``further`` did
        self._lowered = False  # and nobody was told yet

    def __call__(self, run: Callable[[slice], Tensor], rows: int) -> Tensor:
        """``run`` of all rows [rows, ...], its results put together again. Errors: NoMemoryError."""
        import torch

        parts = [part for _, part in self.parts(run, rows)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def parts(self, run: Callable[[slice], T], rows: int) -> Iterator[tuple[slice, T]]:
        """Yields each part of the rows and the result of ``run`` for it, in order. Errors: NoMemoryError."""
        start = 0
        while True:
            part = slice(start, start + min(self.size or rows, rows - start))
            found = self._attempt(lambda part=part: run(part), part.stop - start)  # type: ignore[misc]
            if found:
                start = part.stop
                yield part, found.pop()
                if start >= rows:
                    return

    def again(self, run: Callable[[], T], rows: int) -> T:
        """``run()``, which itself takes ``size`` of the rows at a time, done anew from its start after each failure.

        This is for a training step: a part that fails leaves gradients of some rows behind, so all are computed again.
        Errors: NoMemoryError.
        """
        while True:
            found = self._attempt(run, min(self.size or rows, rows))
            if found:
                return found.pop()

    def _attempt(self, run: Callable[[], T], size: int) -> list[T]:
        """Returns the result of ``run`` as the only item, or an empty list after out of memory that may be retried."""
        try:
            with _mark_graph(self.graph):
                found = [run()]
        except Exception as error:
            if _inside_graph.get() or not out_of_memory(error):
                raise
            done = self.further() if size <= 1 and self.further else None
            if size <= 1 and done is None:
                raise NoMemoryError(
                    f"out of memory {self.what}, one {self.row} at a time", why(error), self.remedy
                ) from error
        else:
            self._tell()
            return found
        # Out here the error is gone, whose traceback kept the tensors of the failed attempt alive.
        release()
        if size > 1:
            self.size = min(size // 2, self.size or size)  # another thread may have lowered it already
        self._done, self._lowered = done or self._done, True
        return []

    def _tell(self) -> None:
        if not self._lowered:
            return
        self._lowered = False
        size = self.size or 1
        if self.log:
            many = f"{size} {self.row}s" if size > 1 else f"one {self.row}"
            also = f", {self._done}" if self._done else ""
            self.log(f"out of memory {self.what}: going on with {many} at a time{also}")
        if self.changed:
            self.changed(size)


@contextmanager
def _mark_graph(graph: bool) -> Iterator[None]:
    if not graph:
        yield
        return
    token = _inside_graph.set(True)
    try:
        yield
    finally:
        _inside_graph.reset(token)


def out_of_memory(error: BaseException) -> bool:
    """Returns True for an error that reports too little memory, of a GPU or of the machine."""
    torch = sys.modules.get("torch")  # where it was never imported, the error is not one of its own
    if isinstance(error, MemoryError | NoMemoryError) or (torch and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(mark in str(error) for mark in MARKS)


def why(error: BaseException) -> str:
    """The line of an out-of-memory error that says how much was asked for."""
    if isinstance(error, NoMemoryError):
        return error.cause
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def release() -> None:
    """Gives memory that nothing refers to any more back to the device."""
    import torch

    gc.collect()
    torch.cuda.empty_cache()  # does nothing where CUDA is not in use


def recompute_activations(*networks: Any) -> str | None:
    """Lets networks compute activations twice and keep none, which takes a third more time; words for having done it.

    None where all of them do so already. Networks are those of diffusers.
    """
    keeping = [network for network in networks if not network.is_gradient_checkpointing]
    for network in keeping:
        network.enable_gradient_checkpointing()
    return "without keeping activations (gradient checkpointing)" if keeping else None

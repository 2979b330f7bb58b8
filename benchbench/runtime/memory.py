"""Handles out of memory: halves the number of rows and goes on.

This is only for rows that do not depend on each other, so that computing them in parts changes rounding alone. Without
a failure a function is called with the same rows as without a splitter. Imports torch only inside functions: the
command line handles out-of-memory errors, and `bench --help` must not load torch.
"""

from __future__ import annotations

import errno
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
# Messages of out-of-memory errors that have no class: of PyTorch and the C++ library on the CPU, and of CUDA.
MESSAGES = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "Cannot allocate memory",
    "failed to map segment from shared object",
    "bad_alloc",
    "bad allocation",
    "could not create a memory object",
    "could not create a primitive",
    "can't start new thread",
    "Storage size calculation overflowed",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
REMEDY = "free memory on the device, or use one that has more"
FEWER = (
    f"{REMEDY}, or take fewer images at a time (eval: --batch-size 1; train: --set train.batch and train.micro_batch)"
)
_inside_graph: ContextVar[bool] = ContextVar("inside_graph", default=False)


class Splitter:
    """Runs a function on all rows at once, or on ``size`` at a time; out of memory halves the size and goes on.

    ``activity`` and ``row`` are words for messages: the work ("decoding") and the unit of a row ("image"). ``size`` is
    the largest number of rows at a time; None sets no limit. It may be set at any time, and an out-of-memory error
    lowers it permanently. ``log`` and ``on_lowered`` are then called once, when a lower size has fitted.

    If one row does not fit, ``last_resort`` is called: it reduces the memory in another way and returns a description,
    or returns None, and then NoMemoryError with ``remedy`` as its last line ends the run.

    ``graph`` says that the parts build a graph for a gradient. Most of the memory belongs to the graph then, so every
    splitter inside such a part leaves out-of-memory errors to this one, which can drop the graph and use fewer rows.
    """

    def __init__(
        self,
        activity: str,
        size: int | None = None,
        *,
        row: str = "row",
        graph: bool = False,
        log: Callable[[str], Any] | None = None,
        on_lowered: Callable[[int], Any] | None = None,
        last_resort: Callable[[], str | None] | None = None,
        remedy: str = REMEDY,
    ) -> None:
        self.activity, self.size, self.row, self.graph, self.remedy = activity, size, row, graph, remedy
        self.log, self.on_lowered, self.last_resort = log, on_lowered, last_resort
        self._resorted: str | None = None  # the description that ``last_resort`` returned
        self._lowered = False  # a lower size was set and not yet reported

    def __call__(self, run: Callable[[slice], Tensor], rows: int) -> Tensor:
        """Returns the results of ``run`` for all rows, concatenated: [rows, ...]. Raises NoMemoryError."""
        import torch

        parts = [part for _, part in self.parts(run, rows)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def parts(self, run: Callable[[slice], T], rows: int) -> Iterator[tuple[slice, T]]:
        """Yields each part of the rows and the result of ``run`` for it, in order. Raises NoMemoryError."""
        start = 0
        while True:
            part = slice(start, start + min(self.size or rows, rows - start))
            result = self._attempt(lambda part=part: run(part), part.stop - start)  # type: ignore[misc]
            if result:
                start = part.stop
                yield part, result.pop()
                if start >= rows:
                    return

    def with_restarts(self, run: Callable[[], T], rows: int) -> T:
        """Returns ``run()``, which cuts the rows by ``size`` itself and is restarted after each out-of-memory error.

        This is for a training step: a failed attempt leaves gradients of some rows, so all rows are computed again.
        Raises NoMemoryError.
        """
        while True:
            result = self._attempt(run, min(self.size or rows, rows))
            if result:
                return result.pop()

    def _attempt(self, run: Callable[[], T], size: int) -> list[T]:
        """Returns a list of the result of ``run``, empty after an out-of-memory error that may be retried."""
        try:
            with _mark_graph(self.graph):
                result = [run()]
        except Exception as error:
            if _inside_graph.get() or not out_of_memory(error):
                raise
            resorted = self.last_resort() if size <= 1 and self.last_resort else None
            if size <= 1 and resorted is None:
                raise NoMemoryError(
                    f"out of memory {self.activity}, one {self.row} at a time", memory_error_cause(error), self.remedy
                ) from error
        else:
            self._report_lowered()
            return result
        # The error is deleted here; its traceback kept the tensors of the failed attempt alive.
        release_memory()
        if size > 1:
            self.size = min(size // 2, self.size or size)  # another thread may have lowered it already
        self._resorted, self._lowered = resorted or self._resorted, True
        return []

    def _report_lowered(self) -> None:
        if not self._lowered:
            return
        self._lowered = False
        size = self.size or 1
        if self.log:
            rows = f"{size} {self.row}s" if size > 1 else f"one {self.row}"
            resorted = f", {self._resorted}" if self._resorted else ""
            self.log(f"out of memory {self.activity}: going on with {rows} at a time{resorted}")
        if self.on_lowered:
            self.on_lowered(size)


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
    """Returns True for an out-of-memory error of a GPU or of the machine."""
    torch = sys.modules.get("torch")  # if torch was never imported, the error is not one of torch
    if isinstance(error, MemoryError | NoMemoryError) or (torch and isinstance(error, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    named = isinstance(error, RuntimeError | OSError | ImportError) or type(error).__name__ == "SafetensorError"
    return named and any(message in str(error) for message in MESSAGES)


def memory_error_cause(error: BaseException) -> str:
    """Returns the line of an out-of-memory error that says how much memory was requested."""
    if isinstance(error, NoMemoryError):
        return error.cause
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def release_memory() -> None:
    """Returns unreferenced memory to the device."""
    import torch

    gc.collect()
    torch.cuda.empty_cache()  # does nothing where CUDA is not in use


def recompute_activations(*networks: Any) -> str | None:
    """Switches gradient checkpointing on: activations are computed twice and not kept, which takes a third more time.

    Returns a description, or None if all networks, which are those of diffusers, checkpoint already.
    """
    keeping = [network for network in networks if not network.is_gradient_checkpointing]
    for network in keeping:
        network.enable_gradient_checkpointing()
    return "without keeping activations (gradient checkpointing)" if keeping else None

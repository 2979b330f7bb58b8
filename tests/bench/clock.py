"""Measures how long a network computes: forward by hooks, backward from its output's gradient to the end."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any

import torch


class Clock:
    """Measures the seconds inside a module while the block runs.

    A backward pass belongs to the network from the moment that the gradient reaches its output, since only the
    network's own parameters lie behind it. Where several threads call the network, the result is the mean over them:
    with both of two threads in it all the time, all of the time; with one of the two, half of it.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        self.module = module
        self.cuda = next(module.parameters()).is_cuda
        self.spans: list[tuple[Any, Any]] = []
        self._threads = set[threading.Thread]()  # that called the network
        self._local = threading.local()
        self._hooks: list[Any] = []

    def __enter__(self) -> Clock:
        self._hooks = [
            self.module.register_forward_pre_hook(lambda *_: setattr(self._local, "began", self._now())),
            self.module.register_forward_hook(self._forward),
        ]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for hook in self._hooks:
            hook.remove()

    @property
    def seconds(self) -> float:
        """The sum of all spans, as a mean over threads; waits for the GPU."""
        if not self.cuda:
            return sum(end[0] - start[0] for start, end in self.spans) / max(1, len(self._threads))
        torch.cuda.synchronize()
        return sum(start.elapsed_time(end) for start, end in self.spans) / 1000

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds inside a module on the CPU; 0 on a GPU.

        One calling thread counts the time of the whole process. Several count only their own time, which is too little
        where each of them splits its layers over further threads.
        """
        clock_index = 1 if len(self._threads) < 2 else 2
        return 0.0 if self.cuda else sum(end[clock_index] - start[clock_index] for start, end in self.spans)

    def _now(self) -> Any:
        if not self.cuda:
            return time.perf_counter(), time.process_time(), time.thread_time()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _forward(self, module: Any, args: Any, output: Any) -> None:
        self.spans.append((self._local.began, self._now()))
        self._threads.add(threading.current_thread())
        sample = getattr(output, "sample", None)
        if sample is not None and sample.requires_grad:  # only the UNet's backward pass is measured
            sample.register_hook(self._backward)

    def _backward(self, gradient: torch.Tensor) -> None:
        start = self._now()
        end = lambda: self.spans.append((start, self._now()))  # noqa: E731
        torch.autograd.Variable._execution_engine.queue_callback(end)

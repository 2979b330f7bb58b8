"""Measures the seconds that calls of one object's method take on the device."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any


class Calls:
    """Measures the calls of ``owner.name`` within the block, without waiting for the device in between."""

    def __init__(self, owner: Any, name: str, cuda: bool) -> None:
        self.owner, self.name, self.cuda = owner, name, cuda
        self.spans: list[tuple[Any, Any]] = []

    def __enter__(self) -> Calls:
        plain = getattr(self.owner, self.name)

        def call(*arguments: Any, **options: Any) -> Any:
            start = self._now()
            out = plain(*arguments, **options)
            self.spans.append((start, self._now()))
            return out

        setattr(self.owner, self.name, call)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        delattr(self.owner, self.name)  # which uncovers the class's own method

    @property
    def seconds(self) -> float:
        """The sum over all calls; waits for the device."""
        if not self.cuda:
            return float(sum(end - start for start, end in self.spans))
        import torch

        torch.cuda.synchronize()
        return sum(start.elapsed_time(end) for start, end in self.spans) / 1000

    def _now(self) -> Any:
        if not self.cuda:
            return time.perf_counter()
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

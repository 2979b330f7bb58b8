"""Ctrl-C once: finish the rollout, save, stop. Twice: stop at once.

Of several processes the launcher passes a signal on that the terminal may have sent already: what comes within
``patience`` seconds of the first is the same one.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType


class Interrupt:
    """Within the block the first SIGINT or SIGTERM sets ``asked``; the second raises KeyboardInterrupt."""

    def __init__(self, say: Callable[[str], None], patience: float = 0.0) -> None:
        self.asked, self._say, self._patience, self._when = False, say, patience, 0.0

    def __enter__(self) -> Interrupt:
        self._old = {}
        if threading.current_thread() is threading.main_thread():
            self._old = {s: signal.signal(s, self._handle) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            if time.monotonic() - self._when < self._patience:
                return
            raise KeyboardInterrupt
        self.asked, self._when = True, time.monotonic()
        self._say("stopping after this rollout; again to stop at once")

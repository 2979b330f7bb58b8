"""What ends a process early: Ctrl-C, SIGTERM, SIGHUP, and the end of the process that started it.

All take one path, which leaves what can be resumed. A job gets one and the same wish twice, from the terminal and from
its runner; so do the processes of one training. What comes within ``PATIENCE`` seconds of the first is the same one.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

from benchbench.runtime import status

PARENT = "BENCH_PARENT_PID"  # set by a runner on this machine: its own process id
PATIENCE = 5.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupt:
    """Within the block the first signal sets ``asked``; the second raises KeyboardInterrupt."""

    def __init__(
        self,
        log: Callable[[str], None],
        patience: float = 0.0,
        message: str = "stopping after this rollout; again to stop at once",
    ) -> None:
        self.asked, self._say, self._message, self._when = False, log, message, 0.0
        self._patience = max(patience, PATIENCE if status.is_job() else 0.0)

    def __enter__(self) -> Interrupt:
        self._old = _install(self._handle, SIGNALS)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        _restore(self._old)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            if time.monotonic() - self._when < self._patience:
                return
            raise KeyboardInterrupt
        self.asked, self._when = True, time.monotonic()
        self._say(self._message)


@contextmanager
def signals_as_ctrl_c() -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP raise KeyboardInterrupt; so does, in a job, the end of its runner."""
    if not status.is_job():
        old = _install(signal.default_int_handler, SIGNALS[1:])
    else:
        first = [-PATIENCE]

        def handle(_number: int, _frame: FrameType | None) -> None:
            if time.monotonic() - first[0] >= PATIENCE:
                first[0] = time.monotonic()
                raise KeyboardInterrupt

        old = _install(handle, SIGNALS)
        _end_with_parent()
    try:
        yield
    finally:
        _restore(old)


def _install(
    handler: Callable[[int, FrameType | None], object], numbers: tuple[signal.Signals, ...]
) -> dict[signal.Signals, object]:
    """Returns the handlers before. Only a main thread may set them; nohup's ignored SIGHUP stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else set()
    return {number: signal.signal(number, handler) for number in numbers if number not in ignored}


def _restore(handlers: dict[signal.Signals, object]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)  # type: ignore[arg-type]


def _end_with_parent() -> None:
    """Sends this process SIGTERM once its runner has ended without ending it, as after SIGKILL."""
    parent = os.getppid()
    if os.environ.get(PARENT) != str(parent):
        return  # started by something else, which inherited the variable

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="parent").start()

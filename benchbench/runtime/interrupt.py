"""Handles what ends a process early: Ctrl-C, SIGTERM, SIGHUP, and the end of the process that started it.

A job also ends by SIGUSR2, with which Slurm announces that it will end the job, at its time limit or for another one.

All of them lead to a state that can be resumed. A job receives one interruption twice, from the terminal and from its
runner; so does a process of a multi-process training. Signals within ``PATIENCE`` seconds of the first are therefore
the same interruption.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

from benchbench.runtime import output, status

PARENT = "BENCH_PARENT_PID"  # variable in which a runner on this machine passes its process id
PATIENCE = 5.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NOTICE = signal.SIGUSR2


class Interrupt:
    """Within the block the first signal sets ``requested``; the second raises KeyboardInterrupt."""

    def __init__(
        self,
        log: Callable[[str], None],
        patience: float = 0.0,
        message: str = "stopping after this rollout; again to stop at once",
    ) -> None:
        self.requested, self._log, self._message, self._requested_at = False, log, message, 0.0
        self.number: int | None = None
        """The first signal."""
        self._patience = max(patience, PATIENCE if status.is_job() else 0.0)

    def __enter__(self) -> Interrupt:
        self._old_handlers = _install(self._handle, _signals())
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        _restore(self._old_handlers)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            if number == NOTICE or time.monotonic() - self._requested_at < self._patience:
                return  # Slurm's notice never means "at once": before a preemption it comes after SIGTERM
            raise KeyboardInterrupt
        self.requested, self._requested_at, self.number = True, time.monotonic(), number
        output.is_ending()
        self._log(self._message)


@contextmanager
def signals_as_ctrl_c() -> Iterator[None]:
    """Makes SIGTERM and SIGHUP raise KeyboardInterrupt within the block; in a job, the end of its runner, too."""
    if not status.is_job():
        old_handlers = _install(signal.default_int_handler, SIGNALS[1:])
    else:
        last_interrupt = -PATIENCE

        def handle(number: int, _frame: FrameType | None) -> None:
            nonlocal last_interrupt
            if number == NOTICE and last_interrupt > 0:
                return  # it is saving already
            if time.monotonic() - last_interrupt >= PATIENCE:
                last_interrupt = time.monotonic()
                raise KeyboardInterrupt

        old_handlers = _install(handle, _signals())
        _end_with_parent()
    try:
        yield
    finally:
        _restore(old_handlers)


def _signals() -> tuple[signal.Signals, ...]:
    return (*SIGNALS, NOTICE) if status.is_job() else SIGNALS


def _install(
    handler: Callable[[int, FrameType | None], object], numbers: tuple[signal.Signals, ...]
) -> dict[signal.Signals, object]:
    """Sets the handler and returns the old ones. Only the main thread may do so; an ignored SIGHUP stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else set()
    return {number: signal.signal(number, handler) for number in numbers if number not in ignored}


def _restore(handlers: dict[signal.Signals, object]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)  # type: ignore[arg-type]


def _end_with_parent() -> None:
    """Sends this process SIGTERM once its runner is gone, as after SIGKILL of the runner."""
    parent = os.getppid()
    if os.environ.get(PARENT) != str(parent):
        return  # the parent is another process, which inherited the variable

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="parent").start()

"""Sends what a run logs to trackers, each in a thread of its own: a tracker that fails or waits holds up no training.

The run's own folder stays the record. What a tracker did not take is lost to it, and said once.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL.Image import Image

from benchbench.runtime.files import Log
from benchbench.runtime.json_files import find_object, write_json
from benchbench.runtime.provenance import redact
from benchbench.train.tracker_kinds import KINDS

FILE = "trackers.json"
"""The file in a run's folder with the ids by which a resumed run goes on in the same tracked run, and no secret."""
WAITING = 1000
"""Rows that may wait for a tracker; later ones are left out."""
PATIENCE = 20.0
"""Seconds that the end of a run waits for all trackers together."""


class Trackers:
    """The trackers of a run."""

    def __init__(self, names: Sequence[str], out: Path, settings: Mapping[str, Any], samples: int, log: Log) -> None:
        """Starts the trackers of a run with these settings that goes on after so many images."""
        kept = _Kept(out / FILE)
        flat = {key: str(value) for key, value in _flat(redact(dict(settings)))}
        self._threads = [_Thread(name, out, flat, samples, kept, log) for name in names]

    def row(self, samples: int, values: Mapping[str, Any]) -> None:
        """Sends a row of metrics; names such as ``eval.reward`` become groups, as in the local TensorBoard."""
        numbers = {name.replace(".", "/"): value for name, value in values.items() if isinstance(value, int | float)}
        for thread in self._threads:
            thread.send(lambda tracker: tracker.log(numbers, step=samples))

    def pictures(self, samples: int, pictures: Sequence[Image]) -> None:
        """Sends pictures of a fixed evaluation."""
        for thread in self._threads if pictures else ():
            thread.send(lambda tracker, name=thread.name: KINDS[name].show(tracker, pictures, samples))

    def close(self) -> None:
        """Waits until the trackers have everything, for a limited time, and ends them."""
        for thread in self._threads:
            thread.end()
        limit = time.monotonic() + PATIENCE
        for thread in self._threads:
            thread.wait(max(0.0, limit - time.monotonic()))


class _Kept:
    """The ids of tracked runs in a run's folder. Several threads write them."""

    def __init__(self, file: Path) -> None:
        self.file, self._lock = file, threading.Lock()

    def read(self, name: str) -> dict[str, Any]:
        known = (find_object(self.file) or {}).get(name)
        return known if isinstance(known, dict) else {}

    def write(self, name: str, ids: Mapping[str, Any]) -> None:
        with self._lock:
            write_json(self.file, {**(find_object(self.file) or {}), name: dict(ids)})


class _Thread:
    """A tracker and the thread in which all of its work happens."""

    def __init__(self, name: str, out: Path, settings: Mapping[str, str], samples: int, kept: _Kept, log: Log) -> None:
        self.name, self._out, self._settings, self._kept, self._log = name, out, settings, kept, log
        self._samples, self._said = samples, False
        self._work: queue.Queue[Any] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, name=f"tracker {name}", daemon=True)
        self._thread.start()

    def send(self, work: Any) -> None:
        """Adds work, a function of the tracker; leaves it out where too much is waiting already."""
        try:
            self._work.put_nowait(work)
        except queue.Full:
            self._warn("it is too slow, and misses rows")

    def end(self) -> None:
        """Says that no more work comes."""
        try:
            self._work.put_nowait(None)
        except queue.Full:
            self._warn("it is too slow, and misses rows")

    def wait(self, seconds: float) -> None:
        """Waits for the end of the work."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._warn("it has not taken everything, and is left behind")

    def _run(self) -> None:
        tracker = self._start()
        while (work := self._work.get()) is not None:
            if tracker is not None:
                self._try(work, tracker)
        if tracker is not None:
            self._try(lambda made: made.finish(), tracker)

    def _start(self) -> Any:
        """Returns the started tracker, or None where it cannot be started."""
        try:
            from accelerate import PartialState

            PartialState()  # accelerate's trackers log, and its log needs this
            known = self._kept.read(self.name)
            resumed = bool(known) and self._samples > 0
            tracker = KINDS[self.name].make(self._out, {**known, "samples": self._samples} if resumed else {})
            tracker.main_process_only = False  # only the main process has trackers
            end = sys.exit
            try:
                tracker.start()
            finally:
                sys.exit = end  # wandb puts a function of its own there, which would hide who ends the process
            if not resumed:
                tracker.store_init_configuration(self._settings)
                self._kept.write(self.name, {**KINDS[self.name].note(tracker), "started": True})
        except (Exception, SystemExit) as error:  # code of others, which may raise anything
            self._warn(f"it does not start: {_short(error)}")
            return None
        return tracker

    def _try(self, work: Any, tracker: Any) -> None:
        try:
            work(tracker)
        except (Exception, SystemExit) as error:
            self._warn(_short(error))

    def _warn(self, reason: str) -> None:
        """Says once that the tracker misses something."""
        if not self._said:
            self._said = True
            self._log(f"warning: {self.name}: {reason}; the training goes on, and {self._out} has everything")


def _short(error: BaseException) -> str:
    """Returns the first line of an error without anything that looks like a secret."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {redact(lines[0])[:200]}" if lines else type(error).__name__


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Returns nested settings as ``train.lr`` and its like, with their values."""
    found: list[tuple[str, Any]] = []
    for name, value in settings.items():
        found += _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(f"{prefix}{name}", value)]
    return found

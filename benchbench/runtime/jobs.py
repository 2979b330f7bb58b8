"""Runs commands a few at a time, one process each, and shows how far all of them are."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchbench.errors import BenchError, RunError
from benchbench.runtime.progress import progress

FRACTION = re.compile(r": (\d+)/(\d+)\b")  # of a child's own progress lines


@dataclass
class Task:
    """A command (the words after ``python -m``), what it is called, and how long it may take, in any unit."""

    name: str
    words: Sequence[str]
    weight: float
    log: Path
    share: float = 0.0
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=12))
    reader: threading.Thread | None = None


def run(tasks: Sequence[Task], jobs: int, title: str) -> list[tuple[Task, BenchError]]:
    """Runs every task, and returns those that failed alone: by a reward that is not finite, a signal, a full memory.

    What would stop the others too (a setting, weights that are missing, a file that is damaged) ends them, and is
    raised as a BenchError with its own exit code. Ctrl-C reaches the children too, which save what they have; it is
    raised again once they have ended.
    """
    failed: list[tuple[Task, BenchError]] = []
    if not tasks:
        return failed
    waiting, running = deque(tasks), dict[subprocess.Popen[str], Task]()
    threads = max(1, (os.cpu_count() or 1) // jobs)
    total = max(1, round(sum(task.weight for task in tasks)))
    shown = 0
    try:
        with progress(total, title) as bar:
            while waiting or running:
                while waiting and len(running) < jobs:
                    task = waiting.popleft()
                    running[_start(task, threads)] = task
                time.sleep(0.2)
                for process in [p for p in running if p.poll() is not None]:
                    task = running.pop(process)
                    task.share = 1.0
                    if process.returncode == 130:
                        raise KeyboardInterrupt
                    if process.returncode:
                        error = _failed(task, process.returncode)
                        if error.code != RunError.code:
                            raise error
                        failed.append((task, error))
                now = round(sum(task.weight * task.share for task in tasks))
                if now > shown:
                    names = ", ".join(task.name for task in running.values())
                    bar.advance(now - shown, f"now: {names}" if names else "")
                    shown = now
    finally:
        for process in running:
            process.terminate()  # they save and end; a second signal is not needed
        for process in running:
            process.wait()
    return failed


def _start(task: Task, threads: int) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", *task.words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
    )
    task.reader = threading.Thread(target=_follow, args=(process, task), daemon=True)
    task.reader.start()
    return process


def _follow(process: subprocess.Popen[str], task: Task) -> None:
    """Copies a child's lines into its log, and reads from them how far it is."""
    assert process.stdout is not None
    task.log.parent.mkdir(parents=True, exist_ok=True)
    with task.log.open("a", encoding="utf-8") as log:
        for line in process.stdout:
            log.write(line)
            log.flush()
            task.tail.append(line.rstrip())
            found = FRACTION.search(line)
            if found and int(found[2]):
                task.share = max(task.share, 0.99 * int(found[1]) / int(found[2]))


def _failed(task: Task, code: int) -> BenchError:
    if task.reader:
        task.reader.join(10)  # the last words may still be on their way
    last = next((line.strip() for line in reversed(task.tail) if line.strip()), "it printed nothing")
    lines = [line.strip() for line in task.tail]
    for i, line in enumerate(lines):  # a child of ours ends with a problem, its cause and its remedy
        if line.startswith("why:") and i:
            last = f"{lines[i - 1]} ({line.removeprefix('why:').strip()})"
    if code < 0:
        last = f"it was ended by {signal.Signals(-code).name}; its last words: {last}"
    error = RunError(
        f"{task.name} failed", last, f"see {task.log}; what is done is kept, so run the same command again"
    )
    error.code = code if code in {2, 3, 4, 5} else 5
    return error

"""Runs one step in a process of its own, with a time limit, and says in one JSON-able line how it went."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.gpu.plan import Step

TAIL = 15  # lines of a failed process that are kept


def outcome(step: Step, command: Sequence[str], findings: Path, limit: float) -> dict[str, Any]:
    """The step's line. ``status`` is ok, failed (a check, a part or the process), or cut (over its time limit).

    The process leads a group of its own, and a step that is over its limit is killed with everything it started.
    """
    findings.unlink(missing_ok=True)
    log = findings.with_suffix(".log")
    began, started = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            code = process.wait(max(1.0, limit))
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
    parts, last = read(findings)
    line: dict[str, Any] = {"step": step.name, "number": step.number, "title": step.title, "status": "ok"}
    line |= {"began": began, "seconds": round(time.monotonic() - started, 1), "limit": round(limit, 1)}
    if code is None:
        line |= {"status": "cut", "cut": f"over {limit:.0f} s, in {last}" if last else f"over {limit:.0f} s"}
    elif code != 0 or any("error" in part or "failed" in part for part in parts.values()):
        line["status"] = "failed"
    if code:
        line["error"] = f"the process ended with {code}" + (f" in {last}" if last else "")
    if code != 0:
        line["log"] = _tail(log)
    return line | {"parts": parts}


def read(findings: Path) -> tuple[dict[str, Any], str]:
    """The parts that are done, by name, and the name of one that was begun and not ended."""
    parts: dict[str, Any] = {}
    open_part = ""
    lines = findings.read_text(encoding="utf-8").splitlines() if findings.is_file() else []
    for text in lines:
        try:
            found = json.loads(text)
        except ValueError:  # the last line of a process that was killed while it wrote
            continue
        if "begins" in found:
            open_part = found["begins"]
        else:
            parts[found.pop("part")] = found
            open_part = ""
    return parts, open_part


def child(step: Step, device: str, size: str, work: Path) -> tuple[list[str], Path]:
    """The command of a step's process, and the file of its findings."""
    findings = work / f"{step.name}.jsonl"
    words = ["-m", "tests.gpu.child", step.name, device, size, str(work), str(findings)]
    return [sys.executable, *words], findings


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kills the process with its group, whatever is left of it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tail(log: Path) -> list[str]:
    text = log.read_bytes()[-20_000:].decode("utf-8", "replace")
    return [line[:300] for line in text.splitlines() if line.strip()][-TAIL:]

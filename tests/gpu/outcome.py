"""Runs one step in its own process with a time limit, and describes the outcome in one line of JSON values."""

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
    """Runs a step and returns its line; ``status`` is ok, failed (a check, part or process) or cut (over its limit).

    The process leads its own group, so that a step over its limit is killed together with all that it started.
    """
    findings.unlink(missing_ok=True)
    log = findings.with_suffix(".log")
    begun_at, started = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
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
    line |= {"began": begun_at, "seconds": round(time.monotonic() - started, 1), "limit": round(limit, 1)}
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
    """Returns the finished parts by name, and the name of a part that was begun and not finished, or ""."""
    parts: dict[str, Any] = {}
    open_part = ""
    lines = findings.read_text(encoding="utf-8").splitlines() if findings.is_file() else []
    for text in lines:
        try:
            entry = json.loads(text)
        except ValueError:  # the last line of a process that was killed while it wrote
            continue
        if "begins" in entry:
            open_part = entry["begins"]
        else:
            parts[entry.pop("part")] = entry
            open_part = ""
    return parts, open_part


def child(step: Step, device: str, size: str, work: Path) -> tuple[list[str], Path]:
    """Returns the command of a step's process, and the file of its findings."""
    findings = work / f"{step.name}.jsonl"
    arguments = ["-m", "tests.gpu.child", step.name, device, size, str(work), str(findings)]
    return [sys.executable, *arguments], findings


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kills what is left of the process and its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tail(log: Path) -> list[str]:
    text = log.read_bytes()[-20_000:].decode("utf-8", "replace")
    return [line[:300] for line in text.splitlines() if line.strip()][-TAIL:]

"""Describes the origin of the results: device, driver, versions, commit and command."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("benchbench", "methods", "reward_models", "prompts", "tests/gpu", "tests/bench")


def about(device: str) -> dict[str, Any]:
    """Returns the description as JSON values; what is not known is None."""
    import torch

    from benchbench.runtime.provenance import git, packages

    result: dict[str, Any] = {"device": "CPU", "driver": None, "memory_mib": None}
    if device == "fake":
        result["device"] = "a pretended GPU"
    if device.startswith("cuda"):
        result = _nvidia() or {"device": torch.cuda.get_device_name(), "driver": None, "memory_mib": None}
    commit = git() or {}
    return result | {
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "python": platform.python_version(),
        "packages": packages(),
        "commit": commit.get("commit"),
        "changed": commit.get("dirty"),
        "sources": sources(),
        "command": "python -m tests.gpu " + " ".join(_arguments(sys.argv[1:])),
    }


def _arguments(words: list[str]) -> list[str]:
    """Returns the words without ``--out``, ``--work`` and their folders, which say nothing about the results."""
    folders = {i + 1 for i, word in enumerate(words) if word in {"--out", "--work"}}
    return [word for i, word in enumerate(words) if i not in folders and i + 1 not in folders]


def sources() -> str:
    """Returns 16 hex digits of a hash of the sources, which tells two copies apart where there is no git."""
    total = hashlib.sha256()
    for folder in SOURCES:
        files = (p for p in (ROOT / folder).rglob("*") if p.suffix in {".py", ".yaml"} and p.is_file())
        for path in sorted(files):
            total.update(f"{path.relative_to(ROOT)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()[:16]


def file_name(result: dict[str, Any]) -> str:
    """Returns a name such as ``nvidia-h100-80gb-hbm3-2025-01-31.jsonl``."""
    device = "".join(c if c.isalnum() else "-" for c in str(result["device"]).lower())
    return f"{device}-{datetime.now(UTC).date().isoformat()}.jsonl"


def _nvidia() -> dict[str, Any] | None:
    """Asks the driver's tool, so that this process takes no memory of the device."""
    fields = "name,driver_version,memory.total"
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        name, driver, memory = (word.strip() for word in process.stdout.splitlines()[0].split(","))
        return {"device": name, "driver": driver, "memory_mib": int(memory)}
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None

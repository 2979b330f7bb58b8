"""What exactly ran: settings, command, commit, versions, device and weights; never a token, never the environment."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchbench.version import __version__

PACKAGES = (
    "torch", "diffusers", "transformers", "peft", "accelerate", "safetensors", "huggingface_hub", "numpy", "scipy",
    "pandas", "pyarrow", "pillow", "pydantic",
)  # fmt: skip
SECRET_NAME = re.compile(
    r"(?:^|[-_.])(?:token|secret|password|passwd|pwd|credentials?|auth|(?:api|access|private)[-_]?key)$", re.IGNORECASE
)
SECRET_VALUE = re.compile(
    r"\b(?:hf_|gh[opsru]_|github_pat_|glpat-|sk-|xox[a-z]-|AKIA)[\w-]{8,}|(?<=://)[^/@\s]+(?=@)", re.ASCII
)
HIDDEN = "***"


def record(
    config: Mapping[str, Any], weights: Mapping[str, str], device: str, argv: Sequence[str] | None = None
) -> dict[str, Any]:
    """A JSON-able record of now. ``weights`` is hashes by name; ``argv`` is this process's where None."""
    return {
        "benchbench": __version__,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": redact_argv(sys.argv if argv is None else argv),
        "config": redact(dict(config)),
        "weights": dict(weights),
        "git": git(),
        "device": device_name(device),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": packages(),
    }


def redact(value: Any, name: str = "") -> Any:
    """A JSON-able value with secrets hidden: by the name that they stand under, and by how they look."""
    if value is not None and SECRET_NAME.search(name):
        return HIDDEN
    if isinstance(value, Mapping):
        return {key: redact(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    return SECRET_VALUE.sub(HIDDEN, value) if isinstance(value, str) else value


def redact_argv(argv: Sequence[str]) -> list[str]:
    """A command line with secrets hidden: ``--hf-token X``, ``--hf-token=X``, ``--set a.token=X``; program by name."""
    words, hide = [], False
    for word in argv:
        key, equals, value = word.partition("=")
        if hide and not word.startswith("--"):
            words.append(HIDDEN)
        elif equals:
            words.append(f"{key}={redact(value, key)}")
        else:
            words.append(redact(word))
        hide = word.startswith("-") and not equals and bool(SECRET_NAME.search(word))
    return [Path(word).name if i == 0 else word for i, word in enumerate(words)]


def git() -> dict[str, Any] | None:
    """Commit, whether tracked files differ from it, origin without credentials; None where this is no checkout."""
    here = Path(__file__).resolve()

    def ask(*words: str) -> str:
        command = ["git", "-C", str(here.parent), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        ask("ls-files", "--error-unmatch", here.name)  # an environment inside another project's checkout is not ours
        found = {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None
    try:
        origin = ask("remote", "get-url", "origin")
    except (OSError, subprocess.SubprocessError):
        return found
    # a local path says nothing to others and may name a person
    return found | ({"origin": SECRET_VALUE.sub(HIDDEN, origin)} if "://" in origin or "@" in origin else {})


def device_name(device: str) -> str:
    """``cuda: NVIDIA H200, 139 GiB`` or ``cpu: x86_64, 2 threads``."""
    import torch

    where = torch.device(device)
    if where.type == "cuda":
        found = torch.cuda.get_device_properties(where)
        return f"{device}: {found.name}, {found.total_memory / 2**30:.0f} GiB"
    return f"{device}: {platform.machine()}, {torch.get_num_threads()} threads"


def packages() -> dict[str, str]:
    """Versions of the packages that results depend on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

"""Records what ran: settings, command, commit, versions, device and weights; never tokens or the environment.

Imports torch only inside a function: records are read and redacted without it.
"""

from __future__ import annotations

import functools
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchbench.version import __version__

PACKAGES = (
    "torch", "diffusers", "transformers", "peft", "accelerate", "safetensors", "huggingface_hub", "numpy", "scipy",
    "pandas", "pyarrow", "pillow", "ftfy", "pydantic",
)  # fmt: skip
SECRET_NAME = re.compile(
    r"(?:^|[-_.])(?:token|secret|password|passwd|pwd|credentials?|auth|(?:api|access|private)[-_]?key)$", re.IGNORECASE
)
SECRET_VALUE = re.compile(
    r"\b(?:hf_|gh[opsru]_|github_pat_|glpat-|sk-|xox[a-z]-|AKIA)[\w-]{8,}|(?<=://)[^/@\s]+(?=@)", re.ASCII
)
HIDDEN = "***"
_called: ContextVar[tuple[str, ...]] = ContextVar("called", default=())


def record(
    config: Mapping[str, Any], weights: Mapping[str, str], device: str, argv: Sequence[str] | None = None
) -> dict[str, Any]:
    """Returns a JSON-able record of this process.

    ``weights`` are hashes by name; ``argv`` None: the call from Python, else the command line of this process.
    """
    return {
        "benchbench": __version__,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": redact_argv((_called.get() or sys.argv) if argv is None else argv),
        "config": redact(dict(config)),
        "weights": dict(weights),
        "git": _installed()["git"],
        "device": device_name(device),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": _installed()["packages"],
    }


@contextmanager
def called(*words: str) -> Iterator[None]:
    """Makes records within the block name a call from Python as their command.

    The command line of that process says nothing: in a notebook it is that of its kernel, with a path of this machine.
    """
    token = _called.set(words)
    try:
        yield
    finally:
        _called.reset(token)


@functools.cache
def _installed() -> dict[str, Any]:
    """Returns commit and packages, as they were at the first record: what this process runs was loaded before."""
    return {"git": git(), "packages": packages()}


def redact(value: Any, name: str = "") -> Any:
    """Returns a JSON-able value with secrets hidden, which are recognised by their key or by their form."""
    if value is not None and SECRET_NAME.search(name):
        return HIDDEN
    if isinstance(value, Mapping):
        return {key: redact(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    return SECRET_VALUE.sub(HIDDEN, value) if isinstance(value, str) else value


def redact_argv(argv: Sequence[str]) -> list[str]:
    """Returns a command line without secrets (``--hf-token X``, ``--set a.token=X``) and without the program's path."""
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
    """Returns commit, whether tracked files differ from it, and origin without credentials; None outside a checkout."""
    this_file = Path(__file__).resolve()

    def run(*arguments: str) -> str:
        command = ["git", "-C", str(this_file.parent), *arguments]
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return result.stdout.strip()

    try:
        run("ls-files", "--error-unmatch", this_file.name)  # fails if installed inside another project's checkout
        state = {"commit": run("rev-parse", "HEAD"), "dirty": bool(run("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None
    try:
        origin = run("remote", "get-url", "origin")
    except (OSError, subprocess.SubprocessError):
        return state
    # a local path is of no use to others and may name a person
    return state | ({"origin": SECRET_VALUE.sub(HIDDEN, origin)} if "://" in origin or "@" in origin else {})


def device_name(device: str) -> str:
    """Returns a description such as ``cuda: NVIDIA H200, 139 GiB`` or ``cpu: x86_64, 2 threads``."""
    import torch

    torch_device = torch.device(device)
    if torch_device.type == "cuda":
        gpu = torch.cuda.get_device_properties(torch_device)
        return f"{device}: {gpu.name}, {gpu.total_memory / 2**30:.0f} GiB"
    return f"{device}: {platform.machine()}, {torch.get_num_threads()} threads"


def packages() -> dict[str, str]:
    """Returns the versions of the installed packages that results depend on."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions

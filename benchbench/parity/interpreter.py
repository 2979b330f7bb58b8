"""Finds a Python on this machine for the authors' packages: on PATH, of uv, of pyenv. Downloads none."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchbench.errors import MissingError, UsageError
from benchbench.parity.pins import PYTHON
from benchbench.runtime.names import natural_order

NAME = f"python{PYTHON}"
ASK = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
SECONDS = 60
"""Time in which an interpreter must answer."""


def find(named: str | None) -> Path:
    """Returns the named interpreter, or the first on this machine that runs and is the right version.

    Raises UsageError for a named one that is not, MissingError where there is none.
    """
    if named is not None:
        reason = unfit(Path(named))
        if reason:
            raise UsageError(
                f"--python {named} cannot be used",
                reason,
                f"name a Python {PYTHON} that has the modules venv and ensurepip",
            )
        return Path(named)
    refused = []
    for path in candidates():
        reason = unfit(path)
        if reason is None:
            return path
        refused.append(f"{path}: {reason}")
    raise MissingError(
        f"no Python {PYTHON} was found, which the authors' packages need",
        "; ".join(refused) or f"{NAME} is not on PATH, and neither uv nor pyenv has one",
        f"install one (uv python install {PYTHON}, pyenv install {PYTHON}), or name one: --python PATH",
    )


def unfit(python: Path) -> str | None:
    """Returns why an interpreter cannot be used, or None. It is started: a shim of pyenv may exist and not run."""
    try:
        answer = subprocess.run([python, "-I", "-c", ASK], capture_output=True, text=True, timeout=SECONDS, check=False)
    except OSError as error:
        return error.strerror or str(error)
    except subprocess.TimeoutExpired:
        return f"it did not answer within {SECONDS} seconds"
    if answer.returncode:
        lines = answer.stderr.strip().splitlines() or [f"it ended with status {answer.returncode}"]
        return f"it does not run or lacks venv or ensurepip ({lines[-1]})"
    said = answer.stdout.strip()
    return None if said == PYTHON else f"it is Python {said}"


def candidates() -> Iterator[Path]:
    """Yields interpreters in the order in which they are tried: PATH, what uv names, uv's folder, pyenv's folder."""
    for folder in os.get_exec_path():
        path = Path(folder) / NAME
        if path.is_file() and os.access(path, os.X_OK):
            yield path
    yield from _named_by_uv()
    share = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    yield from _newest(Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or share / "uv" / "python"), f"cpython-{PYTHON}.*")
    yield from _newest(Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions", f"{PYTHON}.*")


def _named_by_uv() -> Iterator[Path]:
    uv = shutil.which("uv")
    if uv is None:
        return
    words = [uv, "python", "find", "--system", PYTHON]
    never = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    try:
        answer = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False, env=never)
    except (OSError, subprocess.TimeoutExpired):
        return
    if answer.returncode == 0 and answer.stdout.strip():
        yield Path(answer.stdout.strip())


def _newest(folder: Path, pattern: str) -> Iterator[Path]:
    """Yields the interpreters of the versions in a folder, the newest first."""
    for version in sorted(folder.glob(pattern), key=lambda path: natural_order(f"{path.name}."), reverse=True):
        path = version / "bin" / NAME
        if path.is_file():
            yield path

"""Interpreters that are shell scripts and answer what a test wants them to, and fixtures of other folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import bench
from tests.reward_models.conftest import weights, weights_folder

__all__ = ["bench", "weights", "weights_folder"]


def script(path: Path, body: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without uv, pyenv and any python3.10; its PATH is tmp_path/bin."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_DATA_HOME", "UV_PYTHON_INSTALL_DIR", "PYENV_ROOT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path

"""A copy of the source tree, and an environment that has the libraries but not benchbench."""

from __future__ import annotations

import shutil
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.packaging.environment import ROOT, run

LEFT_OUT = (".git", ".venv", "bench-store", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The source tree as a clone has it."""
    tree = tmp_path / "clone"
    shutil.copytree(ROOT, tree, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    return tree


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A new environment that sees every installed library except benchbench."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    [site] = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if "benchbench" not in entry.name and entry.suffix != ".pth":
            (libraries / entry.name).symlink_to(entry)
    (site / "libraries.pth").write_text(f"{libraries}\n")
    return tmp_path / "venv" / "bin" / "python"

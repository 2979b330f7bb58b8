"""Commands in an environment of their own, and installing into it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(*command: object, cwd: Path) -> str:
    """Standard output of a command that must succeed, with nothing of this process's Python in its environment."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV_"))}
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def install(python: Path, *what: object, cwd: Path) -> None:
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    run(sys.executable, "-m", "pip", "--python", python, "install", *options, *what, cwd=cwd)

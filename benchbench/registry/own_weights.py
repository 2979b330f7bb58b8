"""Lists the rewards with weights of the user's own: each is a folder ``$BENCH_WEIGHTS/NAME`` with a ``reward.yaml``."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbench.hub.assets import LOCAL_FOLDER

from .entries import Entry

FILE = "reward.yaml"
READER = "benchbench.rewards.own"
"""The module that reads the file, imported when a reward is used: listing names reads no file."""


@dataclass(frozen=True)
class OwnWeights(Entry):
    """A reward whose name is that of its folder."""

    def __str__(self) -> str:
        return str(self.path)

    @property
    def path(self) -> Path:
        """The folder's ``reward.yaml``."""
        return Path(self.attribute)

    @property
    def file(self) -> str:
        """The file that a message tells the user to repair."""
        return str(self.path)

    def load(self) -> Any:
        """Returns the reward's class. Raises UsageError or MissingError."""
        return importlib.import_module(self.module).reward_class(self.path)

    def docstring(self) -> str:
        """Returns a line for lists."""
        return f"Weights of your own, from {self.path}"


def own_weights() -> list[Entry]:
    """Returns the rewards with weights of the user's own, sorted by name."""
    local = os.environ.get(LOCAL_FOLDER)
    files = sorted(Path(local).expanduser().glob(f"*/{FILE}")) if local else []
    return [OwnWeights(path.parent.name, READER, str(path), "your own weights") for path in files]

"""benchbench: a benchmark suite for aligning text-to-image diffusion models with preferences.

    import benchbench as bb
    run = bb.train("tailorpo", model="shapes", reward="shapes-colour", prompts="shapes-simple", samples=384)
    result = bb.evaluate("shapes", rows={"tailorpo": [run]}, prompts="shapes-complex", rewards=["shapes-oracle"])
    result.table

The calls have the words and the defaults of the commands of the same names. They return objects, print nothing unless
``progress=True`` asks for it, and do not depend on the working directory once ``store`` was given. Errors are
BenchErrors of three lines: the problem, its cause and its remedy.

Importing this package imports nothing else: each name is loaded when it is first used. This file only exports.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from benchbench.version import __version__

if TYPE_CHECKING:
    from benchbench.errors import BenchError, CorruptError, MissingError, RunError, UsageError
    from benchbench.python.compare import compare
    from benchbench.python.evaluate import evaluate
    from benchbench.python.generate import generate
    from benchbench.python.load_reward import load_reward
    from benchbench.python.measure import measure
    from benchbench.python.result import Comparison, Result
    from benchbench.python.run import Run
    from benchbench.python.runs import load_run, runs
    from benchbench.python.score import score
    from benchbench.python.table import Table
    from benchbench.python.tables import reproduce, sweep
    from benchbench.python.train import train

__all__ = [
    "BenchError",
    "Comparison",
    "CorruptError",
    "MissingError",
    "Result",
    "Run",
    "RunError",
    "Table",
    "UsageError",
    "__version__",
    "compare",
    "evaluate",
    "generate",
    "load_reward",
    "load_run",
    "measure",
    "reproduce",
    "runs",
    "score",
    "sweep",
    "train",
]

_MODULES = {
    "errors": ("BenchError", "CorruptError", "MissingError", "RunError", "UsageError"),
    "python.compare": ("compare",),
    "python.evaluate": ("evaluate",),
    "python.generate": ("generate",),
    "python.load_reward": ("load_reward",),
    "python.measure": ("measure",),
    "python.result": ("Comparison", "Result"),
    "python.run": ("Run",),
    "python.runs": ("load_run", "runs"),
    "python.score": ("score",),
    "python.table": ("Table",),
    "python.tables": ("reproduce", "sweep"),
    "python.train": ("train",),
}
"""The module of each name."""
_LAZY = {name: module for module, names in _MODULES.items() for name in names}


class _Package(ModuleType):
    """This package. Three calls have the names of folders of it: ``train``, ``evaluate`` and ``reproduce``.

    Importing a module of such a folder would put the folder in the place of the call. The call stays; the folder's
    modules are imported as ever.
    """

    def __getattr__(self, name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{self.__name__}.{_LAZY[name]}"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _LAZY or not isinstance(value, ModuleType):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Package

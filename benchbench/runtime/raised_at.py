"""Turns whatever a plug-in raises into an error of ours that says where in its own code it was raised."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchbench.errors import BenchError, RunError
from benchbench.runtime.memory import out_of_memory


def raised_at(error: BaseException, plugin: Any) -> str:
    """Returns `` (FILE:LINE)`` of the innermost call in the plug-in's folder, empty where the error is not from it.

    ``plugin`` is a class, an instance of one, or a function.
    """
    try:
        folder = Path(inspect.getfile(plugin if hasattr(plugin, "__qualname__") else type(plugin))).resolve().parent
    except (TypeError, OSError):  # a built-in function, or no function or class at all
        return ""
    frames = traceback.extract_tb((error.__cause__ or error).__traceback__)
    inside = [frame for frame in frames if Path(frame.filename).resolve().parent == folder]
    return f" ({inside[-1].filename}:{inside[-1].lineno})" if inside else ""


def described(error: BaseException, plugin: Any) -> str:
    """Returns the class and first line of an error, and where in the plug-in it was raised."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}{f': {lines[0]}' if lines else ''}{raised_at(error, plugin)}"


@contextmanager
def explained(kind: str, plugin: Any, when: str) -> Iterator[None]:
    """Turns whatever a plug-in raises into a RunError; our own errors and out of memory pass.

    ``kind`` is ``reward`` or ``method``; ``when`` says what was called.
    """
    try:
        yield
    except BenchError:
        raise
    except (Exception, SystemExit) as error:
        if out_of_memory(error):
            raise  # a splitter uses fewer rows
        raise RunError(
            f"{kind} {plugin.name} failed {when}", described(error, plugin), f"bench check {plugin.name}"
        ) from error

"""The code of a plug-in, as a hash: a method or a reward of another package changes when its file changes."""

from __future__ import annotations

import inspect
from pathlib import Path

from benchbench.runtime.hashing import file_sha256, text_sha256

OURS = "benchbench"


def code_sha256(plugin: type) -> str:
    """Returns one sha256 of the source files of a class and of its base classes in the same package.

    It is empty for a class of this repository, whose versions are ours, and where no file can be read.
    """
    package = plugin.__module__.partition(".")[0]
    if package == OURS:
        return ""
    files: dict[Path, str] = {}
    for base in plugin.__mro__:
        if base.__module__.partition(".")[0] == package:
            try:
                path = Path(inspect.getsourcefile(base) or "")
                files[path] = file_sha256(path)
            except (OSError, TypeError):  # a class without a file, as one that was typed into an interpreter
                continue
    return text_sha256("\n".join(files.values())) if files else ""

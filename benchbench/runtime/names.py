"""File names made from names in data (labels, versions, models), and the order in which people read file names."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

from benchbench.runtime.hashing import digest

MAX_LENGTH = 160
"""Characters; a file system allows 255 bytes, and suffixes, lock names and temporary names need some of them."""


def safe_name(text: str, sign: str = "_") -> str:
    """Returns the text as a file name: ``sign`` replaces each run of characters outside ``A-Za-z0-9_.-``.

    A longer name is cut and ends in a digest of the text; a name of dots alone becomes ``sign``.
    """
    name = re.sub(r"[^\w.-]+", sign, text, flags=re.ASCII)
    if len(name) > MAX_LENGTH:
        name = f"{name[:MAX_LENGTH]}{sign}{digest(text)}"
    return name if name.strip(".") else sign


def absolute(reference: str) -> str:
    """Returns a path to what exists, or a pattern of paths, as an absolute path; any other text as it is.

    What a record names by an absolute path is found from any other working folder.
    """
    path = Path(reference).expanduser()
    return os.path.abspath(path) if path.exists() or glob.has_magic(reference) else reference


def natural_order(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Returns the sort key under which numbers in names are compared as numbers: 2.png comes before 10.png.

    The ending counts last, so that 1.png comes before 1-2.png. Equal numbers, as 1 and 01, are ordered as text.
    """
    stem, dot, _ = name.rpartition(".")
    words = re.split(r"([0-9]+)", stem if dot else name)
    return [(0, int(word), "") if n % 2 else (1, 0, word) for n, word in enumerate(words) if word], name

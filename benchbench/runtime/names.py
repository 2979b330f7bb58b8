"""File names made from names in data: labels, versions, models."""

from __future__ import annotations

import re

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

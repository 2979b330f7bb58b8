"""File names made of names that come from data: labels, versions, models."""

from __future__ import annotations

import re

from benchbench.runtime.hashing import digest

LONGEST = 160
"""Characters; a file system takes 255 bytes, of which endings, locks and temporary names need a part."""


def safe_name(text: str, sign: str = "_") -> str:
    """Returns the text as a file name: ``sign`` replaces each run of characters outside ``A-Za-z0-9_.-``.

    A name that is too long is cut and ends in a digest of the whole; one of nothing but dots becomes ``sign``.
    """
    name = re.sub(r"[^\w.-]+", sign, text, flags=re.ASCII)
    if len(name) > LONGEST:
        name = f"{name[:LONGEST]}{sign}{digest(text)}"
    return name if name.strip(".") else sign

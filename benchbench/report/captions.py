"""Splits a long caption into what a reader needs beside the table, and the rest, which the page keeps in a fold."""

from __future__ import annotations

import re

LETTERS = 240  # about two lines of a caption on the page, and four in a paper
END = re.compile(r"(?<=[.?!])(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bvs\.) (?=\S)")


def split_caption(caption: str) -> tuple[str, str]:
    """Returns the first sentences of a caption, at least one, and the other sentences, or an empty text."""
    sentences = END.split(caption)
    count, letters = 1, len(sentences[0])
    while count < len(sentences) and letters + len(sentences[count]) + 1 <= LETTERS:
        letters += len(sentences[count]) + 1
        count += 1
    return " ".join(sentences[:count]), " ".join(sentences[count:])

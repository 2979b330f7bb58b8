"""Counts prompts that are longer than what a tokenizer's network reads. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def count_longer(tokenizer: Any, prompts: Sequence[str], length: int) -> int:
    """Returns how many prompts have more than ``length`` tokens, start and end tokens included."""
    if not prompts:
        return 0
    ids = tokenizer(list(prompts), truncation=False, verbose=False).input_ids
    return sum(len(row) > length for row in ids)

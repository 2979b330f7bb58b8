"""Small pieces of English for messages."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Returns ``1 image`` or ``2 images``, of a noun whose plural ends in s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

"""Types of preference data: a pair, a set of pairs and a row that cannot be used. Also decodes single values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from benchbench.errors import CorruptError
from benchbench.runtime.pictures import Picture, read_picture

if TYPE_CHECKING:
    from PIL.Image import Image


EMPTY_CAPTION = "the caption is empty"


@dataclass(frozen=True)
class RawPair:
    """A caption with the preferred and the dispreferred picture, both RGB; their sizes may differ."""

    caption: str
    winner: Image
    loser: Image
    swapped: bool = False
    """True if the loser comes first in the file."""
    tie: bool = False
    """True if neither was preferred; only in sets opened with ``ties``."""


class BadRow(Exception):
    """A row that cannot be used. ``row`` names its file and row, ``why`` says what is wrong."""

    def __init__(self, row: str, why: str) -> None:
        super().__init__(f"{row}: {why}")
        self.row, self.why = row, why


class PairSet(Protocol):
    """A sequence of pairs. Pictures are read and decoded at each access; none are kept in memory."""

    name: str
    hash: str
    """SHA-256 of the content, 64 hexadecimal digits: equal for the same rows in the same order, and only for those."""
    skip_bad: bool
    """True if training skips rows that cannot be used, False if it stops at the first one."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: int) -> RawPair:
        """Returns pair i. Errors: BadRow (an unreadable picture, an empty caption), IndexError."""

    def captions(self) -> Iterator[str]:
        """Yields every pair's caption in order, without reading pictures; an empty one where the row has none."""


def decode_picture(row: str, side: str, data: object) -> Picture:
    """Returns the RGB picture in the bytes of an image file, and what was done to it. Errors: BadRow."""
    if not isinstance(data, bytes) or not data:
        raise BadRow(row, f"the {side} has no picture")
    try:
        return read_picture(data, f"the {side}")
    except CorruptError as error:
        raise BadRow(row, f"the {side} is not a readable picture ({error.cause})") from error


def checked_caption(row: str, value: object) -> str:
    """Returns the caption. Errors: BadRow where it is missing, empty or no text."""
    if value is not None and not isinstance(value, str):
        raise BadRow(row, f"the caption is no text but {value!r:.60}")
    if value is None or not value.strip():
        raise BadRow(row, EMPTY_CAPTION)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadRow(row, "the caption is not valid text: it holds half a character") from error
    return value

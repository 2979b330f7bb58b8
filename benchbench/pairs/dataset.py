"""What a set of preference pairs is: captions with a preferred and a dispreferred picture, decoded when asked for."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class RawPair:
    """A caption, the preferred and the dispreferred RGB picture, each of its own size."""

    caption: str
    winner: Image
    loser: Image
    swapped: bool = False
    """Whether the file has the loser first."""
    tie: bool = False
    """Neither was preferred; only where ties were asked for."""


class BadRow(Exception):
    """A row that cannot be used: ``row`` says which file and row, ``why`` what is wrong with it."""

    def __init__(self, row: str, why: str) -> None:
        super().__init__(f"{row}: {why}")
        self.row, self.why = row, why


class PairSet(Protocol):
    """Pairs by number, 0 .. len - 1; a row's pictures are read when it is asked for, and not kept."""

    name: str
    hash: str
    """Content identity, 64 hexadecimal digits: equal for equal rows in equal order, and for no others."""
    skip_bad: bool
    """Whether training goes on without a row that cannot be used; otherwise it stops there."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: int) -> RawPair:
        """Errors: BadRow (a broken picture, an empty caption), IndexError."""

    def captions(self) -> Iterator[str]:
        """Every row's caption in order, without any picture; empty where there is none."""


def decode(row: str, side: str, data: object) -> Image:
    """The RGB picture of a file's bytes. Errors: BadRow."""
    from PIL import Image

    if not isinstance(data, bytes) or not data:
        raise BadRow(row, f"the {side} has no picture")
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BadRow(row, f"the {side} is not a readable picture ({why.split(' <')[0]})") from error


def text(row: str, value: object) -> str:
    """A caption. Errors: BadRow for none and for an empty one."""
    if not isinstance(value, str) or not value.strip():
        raise BadRow(row, "the caption is empty")
    return value

"""A block that only looks at what is stored: it ends where something would have to be made, or is being made.

The code that makes things says so by ``about_to_make``. Thus the code that measures also tells what is complete, by the
same checks, and no second list of them exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_looking: ContextVar[bool] = ContextVar("looking", default=False)


class NotStored(Exception):
    """Something is not in the store, and the block must not make it."""


@contextmanager
def looking_only() -> Iterator[None]:
    """Makes nothing in this block. Raises NotStored out of it where something is missing."""
    token = _looking.set(True)
    try:
        yield
    finally:
        _looking.reset(token)


def about_to_make(what: str) -> None:
    """Raises NotStored in a block of ``looking_only``; does nothing elsewhere."""
    if _looking.get():
        raise NotStored(what)

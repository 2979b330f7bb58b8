"""Writes lines for people. A reader that has gone away, as of ``bench train | head``, ends the work like a hang-up.

Within ``saving`` the process then sends itself SIGHUP, on which a training writes its checkpoint and an evaluation
keeps what it made. Further lines go nowhere. Elsewhere the error is raised, and the command ends silently.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from benchbench.runtime.printable import printable

GONE = (errno.EPIPE, errno.EIO)  # the reader of a pipe, and the terminal, that is not there any more


class _State:
    saving = 0  # how many blocks of ``saving`` are open
    ending = False  # whether this process was asked to end


@contextmanager
def saving() -> Iterator[None]:
    """Marks a block whose work is kept after SIGHUP."""
    _State.ending = _State.ending and _State.saving > 0
    _State.saving += 1
    try:
        yield
    finally:
        _State.saving -= 1


def is_ending() -> None:
    """Says that this process was asked to end: a line that nobody reads is no further reason."""
    _State.ending = True


def write_line(line: str, stream: TextIO | None = None) -> None:
    """Writes one or more lines to a stream (None: standard output) without buffering; control characters are escaped.

    Raises OSError where nobody reads and nothing is to be saved.
    """
    stream = stream or sys.stdout
    try:
        print(printable(line, keep="\n\t"), file=stream, flush=True)
    except OSError as error:
        if error.errno not in GONE or not _State.saving:
            raise
        _to_nowhere(stream)
        if not _State.ending:
            is_ending()
            os.kill(os.getpid(), signal.SIGHUP)


def reader_is_gone(error: BaseException | None) -> bool:
    """Returns True for the error of writing to a reader that has gone away."""
    return isinstance(error, OSError) and error.errno in GONE


def escape_unknown_signs() -> None:
    r"""Lets standard output and error write ``\\u0302`` for a character that their encoding, such as Latin-1, lacks."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):  # a stream of a test or a notebook, or one that is closed
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _to_nowhere(stream: TextIO) -> None:
    """Points a stream whose reader has gone at nothing, so that neither later lines nor the exit fail."""
    with suppress(OSError, ValueError, AttributeError):  # a stream without a descriptor, as in a test
        descriptor = stream.fileno()
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, descriptor)
        os.close(nothing)


def silent(line: str) -> None:
    """Writes nothing: the log of what nobody wants to read."""

"""Stands between the nodes of a Ray cluster and the store of the waiting command: it runs on the command's machine.

Nodes report here what their jobs do, and are told here to end them. A node that does not see the store gets the files
of its job from here and leaves here what the job made. Values are text and bytes alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from benchbench.runtime.backends.sent_files import Incoming, find, place, read_chunk, remove
from benchbench.runtime.file_errors import writing
from benchbench.runtime.hashing import file_sha256

CANCEL, KILL = "cancel", "kill"
"""A node is asked to have a job save and end, or to end it at once."""


class HeadLost(Exception):
    """Nobody waits for this attempt: its command is gone, or has started another attempt in its place."""


@dataclass
class _Entry:
    """An attempt of a job: where its files lie, what its node said last, and what the node is asked to do."""

    store: Path
    log: Path
    status: Path
    needs: list[str]
    makes: list[str]
    state: str = ""
    request: str = ""
    incoming: Incoming | None = None


class Head:
    """The attempts of one command, by their ids. For an unknown id what a node calls raises HeadLost."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def begin(self, attempt: str, store: str, log: str, status: str, needs: list[str], makes: list[str]) -> None:
        """Admits an attempt: its node may read what matches ``needs`` and change what matches ``makes``."""
        self._entries[attempt] = _Entry(Path(store), Path(log), Path(status), needs, makes)

    def _entry(self, attempt: str) -> _Entry:
        if attempt not in self._entries:
            raise HeadLost(attempt)
        return self._entries[attempt]

    def states(self) -> dict[str, str]:
        """Returns what the nodes said last, as JSON, of the attempts that have begun on a node."""
        return {attempt: entry.state for attempt, entry in self._entries.items() if entry.state}

    def ask(self, attempt: str, request: str) -> None:
        """Asks the node of an attempt to end its job."""
        if attempt in self._entries:
            self._entries[attempt].request = request

    def end(self, attempt: str) -> None:
        """Forgets an attempt: what still arrives of it is refused."""
        entry = self._entries.pop(attempt, None)
        if entry and entry.incoming:
            entry.incoming.drop()

    def report(self, attempt: str, state: str, log: bytes, status: bytes) -> str:
        """Keeps what a node says and appends to log and status file; returns what it is asked to do."""
        entry = self._entry(attempt)
        entry.state = state
        for path, data in ((entry.log, log), (entry.status, status)):
            if data:
                with writing(path), path.open("ab") as file:
                    file.write(data)
        return entry.request

    def offer(self, attempt: str) -> str:
        """Returns the sha256 of each file that the job needs, by name, as JSON."""
        entry = self._entry(attempt)
        return json.dumps({name: file_sha256(entry.store / name) for name in find(entry.store, entry.needs)})

    def read(self, attempt: str, name: str, offset: int) -> bytes:
        """Returns a chunk of a file that the job needs; none at its end. Raises CorruptError for any other file."""
        entry = self._entry(attempt)
        return read_chunk(place(entry.store, name, entry.needs), offset)

    def write(self, attempt: str, name: str, offset: int, data: bytes, sha256: str) -> None:
        """Takes a chunk of a file that the job made; the last one brings the sha256. Errors: those of ``Incoming``."""
        entry = self._entry(attempt)
        if offset == 0:
            if entry.incoming:
                entry.incoming.drop()
            entry.incoming = Incoming(place(entry.store, name, entry.makes))
        incoming = entry.incoming
        if incoming is None or incoming.path != place(entry.store, name, entry.makes):
            raise ValueError(f"a chunk of {name} arrived before its beginning")
        incoming.add(data)
        if sha256:
            entry.incoming = None
            incoming.finish(sha256)

    def remove(self, attempt: str, name: str) -> None:
        """Removes a file that the job removed on its node. Raises CorruptError for a file that it does not make."""
        entry = self._entry(attempt)
        remove(entry.store, name, entry.makes)

"""Fetches what a job needs to a Ray node without a shared store, and sends back what the job makes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from benchbench.errors import CorruptError
from benchbench.runtime.backends.sent_files import CHUNK, Incoming, State, find, place
from benchbench.runtime.hashing import bytes_sha256

Call = Callable[..., Any]
"""Calls a method of ``Head`` by its name, for one attempt. Raises HeadLost."""
TRIES = 3  # a file that another process changes at this moment is fetched again


def fetch(store: Path, call: Call) -> None:
    """Fetches every file that the job needs into an empty store. Raises CorruptError for one that keeps changing."""
    for name, sha256 in json.loads(call("offer")).items():
        path = place(store, name, [name])
        for left in reversed(range(TRIES)):
            incoming = Incoming(path)
            offset = 0
            while data := call("read", name, offset):
                incoming.add(data)
                offset += len(data)
            try:
                incoming.finish(sha256)
                break
            except CorruptError:
                if not left:
                    raise
                sha256 = json.loads(call("offer")).get(name, sha256)


class Outbox:
    """Sends the files that a job makes or changes in a store of this node, and says which ones it removed."""

    def __init__(self, store: Path, makes: list[str], call: Call) -> None:
        self._store, self._makes, self._call = store, makes, call
        self._known: dict[str, State] = find(store, makes)

    def send(self) -> None:
        """Sends what changed since the last call.

        Logs of lines go first and the rest in the order in which it was written: a checkpoint or a done.json arrives
        after what it stands on, also where the node is lost in the middle.
        """
        now = find(self._store, self._makes)
        changed = [name for name, state in now.items() if self._known.get(name) != state]
        for name in sorted(changed, key=lambda name: (not name.endswith(".jsonl"), now[name][1], name)):
            if self._send(name):
                self._known[name] = now[name]
        for name in set(self._known) - set(now):
            self._call("remove", name)
            del self._known[name]

    def _send(self, name: str) -> bool:
        """Returns whether the file was sent; False where it was removed a moment ago."""
        try:
            with (self._store / name).open("rb") as file:
                sha256 = bytes_sha256(self._sending(name, file))  # of what was sent: a log may grow meanwhile
                self._call("write", name, file.tell(), b"", sha256)
        except FileNotFoundError:
            return False
        return True

    def _sending(self, name: str, file: BinaryIO) -> Iterator[bytes]:
        """Sends the file's chunks, at least one, and yields each."""
        data, offset = file.read(CHUNK), 0
        while data or offset == 0:
            self._call("write", name, offset, data, "")
            yield data
            offset += max(1, len(data))
            data = file.read(CHUNK)

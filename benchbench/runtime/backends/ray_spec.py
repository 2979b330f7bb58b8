"""An attempt of a job as it travels to a Ray node, and what must be the same on both sides."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

from benchbench.version import __version__


@dataclass(frozen=True)
class Spec:
    """An attempt of a job, as it travels to a node."""

    attempt: str
    name: str
    command: list[str]
    store: str
    """The store as the command's words have it."""
    absolute_store: str
    log: str
    """The path of the log relative to the store."""
    makes: list[str]
    sendable: bool
    """True if the job's files are known, so that it can run without a shared store."""
    threads: int
    environment: dict[str, str]
    folder: str
    """The working directory of the waiting command."""
    versions: dict[str, str]

    @property
    def token(self) -> str:
        """The path, relative to the store, of a file that holds the attempt's id."""
        return token_name(self.log, self.attempt)

    def to_json(self) -> str:
        """Returns the text that ``from_json`` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Spec:
        """Returns the attempt that a text describes."""
        return cls(**json.loads(text))


def token_name(log: str, attempt: str) -> str:
    """Returns the path of an attempt's token, beside its log; both are relative to the store."""
    return Path(log).with_name(f".{attempt}.token").as_posix()


def versions(ray: str) -> dict[str, str]:
    """Returns what must be the same on all machines; ``ray`` is the version of Ray here."""
    return {"Python": ".".join(platform.python_version_tuple()[:2]), "benchbench": __version__, "ray": ray}


def translate(word: str, store: str, here: Path) -> str:
    """Returns a word of a command with this node's folder of the store in place of the store's own."""
    if word == store or word.startswith(f"{store}/"):
        return f"{here}{word[len(store) :]}"
    return word

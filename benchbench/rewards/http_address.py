"""The address of a reward server, as ``http://host:8000``: told from a name, and checked before it is asked."""

from __future__ import annotations

from urllib.parse import urlsplit

from benchbench.errors import UsageError
from benchbench.rewards.mix_rule import split_rule

SCHEMES = ("http://", "https://")
SUFFIX = "@http"
"""The end of the name of every reward that a server computes."""


def is_address(text: str) -> bool:
    """Returns whether a reward's name is the address of a server."""
    return text.lower().startswith(SCHEMES)


def has_address(text: str) -> bool:
    """Returns whether a reward's name, or a member of a mix, is the address of a server."""
    return any(is_address(word.strip()) for word in split_rule(text)[1].split(","))


def is_served(name: str) -> bool:
    """Returns whether this is the name of a reward that a server computes."""
    return name.endswith(SUFFIX)


def check_address(text: str) -> str:
    """Returns the address without a slash at its end. Raises UsageError, which never repeats a password.

    Addresses stand in records of commands, so that none may hold a secret: neither a user's name and password nor a
    query is accepted.
    """
    problem = _problem(text)
    if problem:
        raise UsageError("a reward server cannot be asked", problem, "give its address alone, as http://host:8000")
    return text.rstrip("/")


def _problem(text: str) -> str:
    """Returns what is wrong with an address, or an empty text."""
    if "@" in text:
        return "its address holds a user's name or a password, which would stand in records"
    if "?" in text or "#" in text:
        return "its address holds a query or a fragment, which would stand in records"
    if not text.isascii() or not text.isprintable() or any(sign in text for sign in " \\,="):
        return f"{text!r:.100} holds a sign that no address has"
    try:
        parts, port = urlsplit(text), urlsplit(text).port
    except ValueError as error:  # a port that is no number, or an unfinished IPv6 address
        return f"{text!r:.100} is no address: {error}"
    if not parts.hostname or port == 0:
        return f"{text!r:.100} names no host, or port 0"
    return ""

"""Asks a reward server, and again where that can help: one address, no redirect, no proxy, answers of limited size.

Imports httpx2 only inside functions: the commands that list rewards must not load it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, NamedTuple

from benchbench.errors import RunError
from benchbench.rewards.http_answers import Nonsense
from benchbench.runtime.json_files import parse_object
from benchbench.runtime.output import write_line

if TYPE_CHECKING:
    import httpx2

CONNECT = 10.0
"""Seconds in which a server must accept a connection."""
ANSWER = 300.0
"""Seconds that a server may stay silent, and that its answer may take."""
PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each further attempt, unless the server says how long to wait."""
LONGEST_PAUSE = 60.0
BUSY = (429, 502, 503, 504)
"""The HTTP statuses after which a request is made again."""
LARGEST = 2**16
"""Bytes of an answer, besides those of its scores."""


class _Again(Exception):
    """An attempt failed in a way that may pass; ``pause`` is how many seconds the server wants to be left alone."""

    def __init__(self, reason: str, pause: float | None = None) -> None:
        super().__init__(reason)
        self.pause = pause


class _Reply(NamedTuple):
    """The parts of an HTTP response that are read."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Unanswered(RunError):
    """A server gave no answer to a request. Scores that it gave before are kept."""


class Exchange:
    """A connection to one server, which is opened by the first request and kept open."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._client: httpx2.Client | None = None

    def __call__(self, path: str, content: bytes | None = None, largest: int = LARGEST) -> dict[str, Any]:
        """Returns the JSON object that the server answers to a GET, or to a POST of JSON ``content``.

        An answer has at most ``largest`` bytes. Connection errors, time-outs and ``BUSY`` statuses are tried again
        after each of ``PAUSES``, and a line says so. Raises Unanswered when all attempts have failed, or for a status
        that no further attempt would change, and Nonsense for what is no JSON object.
        """
        failed = 0
        while True:
            try:
                return _object(self._attempt(path, content, largest))
            except _Again as error:
                if failed == len(PAUSES):
                    raise self._unanswered(f"{error}, {failed + 1} times in a row") from error
                pause = PAUSES[failed] if error.pause is None else error.pause
                failed += 1
                write_line(
                    f"{self.address}: {error}; trying again in {pause:g} s ({failed} of {len(PAUSES)})", sys.stderr
                )
            sleep(pause)

    def close(self) -> None:
        """Closes the connection; the next request opens another."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _attempt(self, path: str, content: bytes | None, largest: int) -> _Reply:
        """Returns the reply of status 200. Raises _Again, Unanswered and Nonsense."""
        import httpx2

        try:
            reply = self._send(path, content, largest)
        except httpx2.TimeoutException as error:
            raise _Again(f"no answer in time ({type(error).__name__})") from error
        except (httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
            self.close()
            raise _Again(f"the connection failed ({_first_line(error)})") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._unanswered(_first_line(error)) from error
        if reply.status in BUSY:
            raise _Again(f"status {reply.status}{_reason(reply)}", _pause(reply.headers.get("retry-after", "")))
        if 300 <= reply.status < 400:
            raise self._unanswered(f"status {reply.status}: it points to another address, which is not followed")
        if reply.status != 200:
            raise self._unanswered(f"status {reply.status}{_reason(reply)}")
        return reply

    def _send(self, path: str, content: bytes | None, largest: int) -> _Reply:
        """Returns the reply to one request. Raises Nonsense for one that is too large, and httpx2's errors."""
        import httpx2

        if self._client is None:
            timeout = httpx2.Timeout(ANSWER, connect=CONNECT)
            headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
            self._client = httpx2.Client(timeout=timeout, headers=headers, trust_env=False, follow_redirects=False)
        method, kind = ("GET", {}) if content is None else ("POST", {"Content-Type": "application/json"})
        started, parts, size = monotonic(), [], 0
        with self._client.stream(method, f"{self.address}{path}", content=content, headers=kind) as response:
            for part in response.iter_raw():
                size += len(part)
                if size > largest:
                    raise Nonsense(f"it is longer than {largest} bytes")
                if monotonic() - started > ANSWER:
                    raise httpx2.ReadTimeout("")
                parts.append(part)
            return _Reply(response.status_code, dict(response.headers), b"".join(parts))

    def _unanswered(self, reason: str) -> Unanswered:
        return Unanswered(
            f"the reward server {self.address} does not answer as it should",
            reason,
            "see that it runs and is well, then run the same command again (bench train: with --resume); "
            "what was scored is kept",
        )


def _object(reply: _Reply) -> dict[str, Any]:
    """Returns the JSON object of a reply. Raises Nonsense."""
    kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Nonsense(f"it is {kind[:80] or 'of no stated type'}, and not application/json")
    if reply.headers.get("content-encoding", "identity").lower() != "identity":
        raise Nonsense("it is compressed, which was not asked for")
    try:
        return parse_object(reply.body)
    except ValueError as error:
        raise Nonsense(f"it is no JSON object: {error}") from error


def _reason(reply: _Reply) -> str:
    """Returns the reason that a server gives under "error", as `` (the body is not JSON)``; empty where it has none."""
    try:
        reason = _object(reply).get("error")
    except Nonsense:
        return ""
    return f" ({' '.join(reason.split())[:300]})" if isinstance(reason, str) and reason.strip() else ""


def _pause(retry_after: str) -> float | None:
    """Returns the seconds that a server asks for, at most ``LONGEST_PAUSE``; None where it asks for none."""
    return min(float(retry_after), LONGEST_PAUSE) if retry_after.strip().isdecimal() else None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__

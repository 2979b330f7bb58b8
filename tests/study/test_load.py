"""Many raters at once: each casts a vote and loads two pictures a second, without an error and without waiting."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest

from benchbench.study.design import Study
from benchbench.study.vote_store import FILE, VoteStore
from tests.study.made import make_study
from tests.study.server import Server, free_port, next_place

SLOWEST = 0.3  # seconds, of 95 of 100 requests


class Connection:
    """A connection that stays open, as a browser's; it costs less time than the server that it measures."""

    def __init__(self, port: int) -> None:
        self.port, self.times = port, list[float]()

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port)

    async def request(self, method: str, path: str, form: dict[str, object] | None = None) -> str:
        """Returns the body, after following a redirection; anything but success is an error."""
        started, body = time.monotonic(), urlencode(form or {})
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write((head + body).encode())
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        text = (await self._reader.readexactly(int(headers["content-length"]))).decode(errors="replace")
        self.times.append(time.monotonic() - started)
        if lines[0].startswith("http/1.1 303"):
            return await self.request("GET", path.rpartition("/")[0])  # every form leads back to the rater's page
        assert lines[0].startswith("http/1.1 200"), lines[0]
        return text


async def rate(connection: Connection, token: str, slot: int, study: Study, seconds: float) -> int:
    """Votes once a second, after loading both pictures, and returns the number of votes."""
    await connection.open()
    await asyncio.sleep(slot / study.raters)
    place, votes, started = next_place(await connection.request("POST", f"/r/{token}/agree")), 0, time.monotonic()
    while place is not None and time.monotonic() - started < seconds:
        for file in study.files(study.assignment[slot][place.position]):
            await connection.request("GET", f"/pictures/{file}")
        form = {"position": place.position, "question": place.question, "answer": "left"}
        place = next_place(await connection.request("POST", f"/r/{token}/vote", form))
        votes += 1
        await asyncio.sleep(max(0.0, started + votes - time.monotonic()))
    return votes


@pytest.mark.parametrize(
    ("raters", "seconds"), [pytest.param(15, 20, marks=pytest.mark.slow), pytest.param(50, 60, marks=pytest.mark.long)]
)
def test_raters_at_once_wait_for_nothing(raters: int, seconds: int, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    study = make_study(folder, raters=raters, count=40, images=2)
    store = VoteStore(folder / FILE, study)
    tokens = store.tokens()
    store.close()
    server = Server(folder, free_port())
    server.start()
    connections = [Connection(server.port) for _ in tokens]

    async def all_raters() -> list[int]:
        raters_at_once = zip(connections, tokens, range(raters), strict=True)
        return await asyncio.gather(*(rate(*rater, study, seconds) for rater in raters_at_once))

    try:
        votes = asyncio.run(all_raters())
    finally:
        server.kill()
    assert sum(votes) >= 0.9 * raters * seconds
    store = VoteStore(folder / FILE, study)
    assert len(store.votes()) == sum(votes)
    store.close()
    times = [request for connection in connections for request in connection.times]
    slow = float(np.quantile(times, 0.95))
    print(f"{len(times)} requests, 95 of 100 within {1000 * slow:.0f} ms")
    assert slow < SLOWEST

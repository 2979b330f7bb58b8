"""Fifty raters at once: each casts a vote and loads two pictures a second, without an error and without waiting."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx2
import numpy as np
import pytest

from benchbench.study.design import Study
from benchbench.study.vote_store import FILE, VoteStore
from tests.study.made import make_study
from tests.study.server import Server, free_port, next_place

RATERS = 50
SLOWEST = 0.3  # seconds, of 95 of 100 requests


async def rate(address: str, token: str, slot: int, study: Study, seconds: float, times: list[float]) -> int:
    """Votes once a second; appends the time of each request and returns the number of votes."""
    connection = httpx2.AsyncHTTPTransport(verify=False)  # reading certificates would take longer than the requests
    async with httpx2.AsyncClient(
        base_url=address, follow_redirects=True, timeout=30, transport=connection, trust_env=False
    ) as client:

        async def timed(method: str, path: str, form: dict[str, object] | None = None) -> str:
            started = time.monotonic()
            answered = await client.request(method, path, data=form)
            times.append(time.monotonic() - started)
            assert answered.status_code == 200, answered.status_code
            return answered.text if path.startswith("/r/") else ""

        await asyncio.sleep(slot / RATERS)
        place, votes, started = next_place(await timed("POST", f"/r/{token}/agree")), 0, time.monotonic()
        while place is not None and time.monotonic() - started < seconds:
            files = study.files(study.assignment[slot][place.position])
            await asyncio.gather(*(timed("GET", f"/pictures/{file}") for file in files))
            form = {"position": place.position, "question": place.question, "answer": "left"}
            place = next_place(await timed("POST", f"/r/{token}/vote", form))
            votes += 1
            await asyncio.sleep(max(0.0, started + votes - time.monotonic()))
        return votes


@pytest.mark.parametrize("seconds", [pytest.param(6, marks=pytest.mark.slow), pytest.param(60, marks=pytest.mark.long)])
def test_fifty_raters_wait_for_nothing(seconds: int, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    study = make_study(folder, raters=RATERS, count=40, images=2)
    store = VoteStore(folder / FILE, study)
    tokens = store.tokens()
    store.close()
    server = Server(folder, free_port())
    server.start()
    times: list[float] = []

    async def all_raters() -> list[int]:
        tasks = (rate(server.address, token, slot, study, seconds, times) for slot, token in enumerate(tokens))
        return await asyncio.gather(*tasks)

    try:
        votes = asyncio.run(all_raters())
    finally:
        server.kill()
    assert sum(votes) >= 0.9 * RATERS * seconds
    store = VoteStore(folder / FILE, study)
    assert len(store.votes()) == sum(votes)
    store.close()
    slow = float(np.quantile(times, 0.95))
    print(f"{len(times)} requests, 95 of 100 within {1000 * slow:.0f} ms")
    assert slow < SLOWEST

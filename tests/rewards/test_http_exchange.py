"""One request to a server: what is tried again, and what ends with one clear message."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from benchbench.rewards import http_exchange
from benchbench.rewards.http_answers import Nonsense
from benchbench.rewards.http_exchange import Exchange, Unanswered
from tests.rewards.servers import INFO, Reply, Told, right


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Attempts follow each other at once; returns how long each pause would have been."""
    slept = list[float]()
    monkeypatch.setattr(http_exchange, "sleep", slept.append)
    return slept


def post(told: Told) -> dict[str, object]:
    return Exchange(told.address)("/v1/score", b'{"prompts": ["a", "bc"]}')


def test_a_right_answer_is_returned(pauses: list[float]) -> None:
    with Told(lambda n, request: right(request)) as told:
        exchange = Exchange(told.address)
        assert exchange("/v1/info") == INFO
        assert exchange("/v1/score", b'{"prompts": ["a", "bc"]}')["scores"] == [1.0, 2.0]
        assert told.paths == ["/v1/info", "/v1/score"] and pauses == []


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_is_asked_again(status: int, pauses: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    """Three times; the second answer says how long to wait, and the third asks for more than is waited."""
    said = [{}, {"Retry-After": "3"}, {"Retry-After": "9999"}]
    with Told(lambda n, r: Reply({"error": "loading\n it"}, status, said[n]) if n < 3 else right(r)) as told:
        assert post(told)["scores"] == [1.0, 2.0]
        assert pauses == [http_exchange.PAUSES[0], 3.0, http_exchange.LONGEST_PAUSE]
        first, *others = capsys.readouterr().err.splitlines()
        assert first == f"{told.address}: status {status} (loading it); trying again in 1 s (1 of 4)"
        assert len(others) == 2


def test_it_is_not_asked_forever(pauses: list[float]) -> None:
    with Told(lambda n, r: Reply({}, 503)) as told:
        with pytest.raises(Unanswered, match="does not answer") as error:
            post(told)
        assert len(told.requests) == 5 and pauses == list(http_exchange.PAUSES)
        assert "status 503, 5 times in a row" in error.value.cause and "--resume" in error.value.remedy


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 415, 422, 500, 501])
def test_a_refusal_is_final_and_its_reason_is_told(status: int, pauses: list[float]) -> None:
    with Told(lambda n, r: Reply({"error": "no\x1b[2J " + "x" * 999}, status)) as told:
        with pytest.raises(Unanswered) as error:
            post(told)
        assert len(told.requests) == 1 and not pauses
        assert error.value.cause.startswith(f"status {status} (no") and len(error.value.cause) < 400


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with Told(lambda n, r: right(r)) as other, Told(lambda n, r: moved) as told:
        moved = Reply({}, status, {"Location": f"{other.address}/v1/score"})
        with pytest.raises(Unanswered, match="does not answer") as error:
            post(told)
        assert "not followed" in error.value.cause and not other.paths


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with Told(lambda n, request: right(request)) as told:
        assert post(told)["scores"] == [1.0, 2.0]


def test_a_password_of_the_environment_is_not_sent(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    client = Exchange("http://127.0.0.1:9")
    with Told(lambda n, request: right(request)) as told:
        client.address = told.address
        client("/v1/score", b'{"prompts": []}')
        assert client._client is not None and "authorization" not in client._client.headers
        assert client._client._trust_env is False


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(b"<html>", headers={"Content-Type": "text/html"}), "it is text/html"),
        (Reply(b"{}", headers={"Content-Type": "text/plain"}), "it is text/plain"),
        (Reply(b"{"), "no JSON object"),
        (Reply(b"[1, 2]"), "no JSON object"),
        (Reply(b"\xff\xfe"), "no JSON object"),
        (Reply(b"[" * 60_000), "no JSON object"),
        (Reply(b'{"scores": [' + b"9" * 5000 + b"]}"), "no JSON object"),
        (Reply(b" " * (http_exchange.LARGEST + 1)), "longer than"),
        (Reply(b"{}", headers={"Content-Encoding": "gzip"}), "compressed"),
    ],
)
def test_nonsense_is_named_and_not_asked_for_again(reply: Reply, said: str) -> None:
    with Told(lambda n, r: reply) as told:
        with pytest.raises(Nonsense, match=said):
            post(told)
        assert len(told.requests) == 1


def test_a_late_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> None:
    monkeypatch.setattr(http_exchange, "ANSWER", 0.1)
    monkeypatch.setattr(http_exchange, "PAUSES", (0.0,))
    late = socket.create_server(("127.0.0.1", 0))  # accepts connections and answers nothing
    with late, pytest.raises(Unanswered) as error:
        Exchange(f"http://127.0.0.1:{late.getsockname()[1]}")("/v1/info")
    assert "no answer in time (ReadTimeout), 2 times in a row" in error.value.cause


def test_an_answer_that_drips_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece comes in time, and all of them do not."""
    monkeypatch.setattr(http_exchange, "ANSWER", 0.3)
    monkeypatch.setattr(http_exchange, "PAUSES", ())
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def drip() -> None:
            connection, _ = server.accept()
            connection.sendall(head)
            while not stop.wait(0.05):
                connection.sendall(b" ")
            connection.close()

        thread = threading.Thread(target=drip)
        thread.start()
        started = time.monotonic()
        try:
            with pytest.raises(Unanswered):
                Exchange(f"http://127.0.0.1:{server.getsockname()[1]}")("/v1/info")
        finally:
            stop.set()
            thread.join()
        assert time.monotonic() - started < 5


def test_a_server_that_is_not_there_is_asked_again(pauses: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(Unanswered) as error:
        Exchange(address)("/v1/info")
    assert "the connection failed" in error.value.cause and len(pauses) == 4
    assert capsys.readouterr().err.count("trying again") == 4


def test_a_connection_that_breaks_is_opened_again(pauses: list[float]) -> None:
    """The server hangs up in the middle of its first answer, and the second connection works."""
    broken = Reply(b"{", headers={"Content-Length": "99", "Connection": "close"})
    with Told(lambda n, r: broken if n == 0 else right(r)) as told:
        assert post(told)["scores"] == [1.0, 2.0] and len(pauses) == 1

"""The reference server: what it refuses, with a reason, and what its file may import."""

from __future__ import annotations

import ast
import base64
import io
import json
import sys
import threading
import time
from typing import Any

import httpx2
import pytest
from PIL import Image

from tests.rewards.servers import FOLDER, process, reference, reward_protocol, scores_of

PLAIN: dict[str, Any] = {"prompts": ["a cat"], "metadata": [{"tag": 1}]}


def packed(size: tuple[int, int] = (3, 2), kind: str = "PNG", mode: str = "RGB") -> str:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, kind)
    return base64.b64encode(buffer.getvalue()).decode()


def lengths(images, prompts, metadata):
    assert all(image.mode == "RGB" for image in images)
    return scores_of({"prompts": prompts})


def post(address: str, body: Any, kind: str = "application/json") -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = httpx2.post(f"{address}/v1/score", content=data, headers={"Content-Type": kind}, trust_env=False)
    return reply.status_code, reply.json()


@pytest.fixture(scope="module")
def address():
    with reference(lengths, needs=("tag",), max_batch=2) as where:
        yield where


def test_it_says_what_it_is_and_scores(address: str) -> None:
    info = httpx2.get(f"{address}/v1/info", trust_env=False).json()
    assert info["name"] == "ruler" and info["needs"] == ["tag"] and info["max_batch"] == 2
    assert post(address, {"images": [packed()], **PLAIN}) == (200, {"name": "ruler", "version": "1", "scores": [5.0]})
    assert post(address, {"images": [packed(mode="RGBA")], **PLAIN})[0] == 200
    assert post(address, {"images": [], "prompts": [], "metadata": []})[1]["scores"] == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        ([], "no JSON object"),
        ({}, "images is no list of texts"),
        ({"images": "x", **PLAIN}, "images is no list of texts"),
        ({"images": [1], **PLAIN}, "images is no list of texts"),
        ({"images": [packed()], "prompts": [1], "metadata": [{}]}, "prompts is no list of texts"),
        ({"images": [packed()], "prompts": ["a"], "metadata": ["x"]}, "metadata is no list of objects"),
        ({"images": [packed()] * 2, **PLAIN}, "2 images, 1 prompts and 1 objects"),
        ({"images": [packed()] * 3, "prompts": ["a"] * 3, "metadata": [{"tag": 1}] * 3}, "more than max_batch, 2"),
        ({"images": [packed()], "prompts": ["a"], "metadata": [{"tags": 1}]}, "the metadata of image 0 lacks tag"),
        ({"images": ["?"], **PLAIN}, "image 0 cannot be read"),
        ({"images": ["AAAA"], **PLAIN}, "image 0 cannot be read"),
        ({"images": [packed(kind="JPEG")], **PLAIN}, "image 0 cannot be read"),
        ({"images": [packed()[:-40]], **PLAIN}, "image 0 cannot be read"),
    ],
)
def test_nonsense_is_refused_with_a_reason(address: str, body: Any, said: str) -> None:
    status, answer = post(address, body)
    assert status == 400 and said in answer["error"]


def test_other_types_and_large_bodies_are_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert post(address, {}, "text/plain")[0] == 415
    monkeypatch.setattr(reward_protocol(), "MAX_BODY", 1000)
    assert post(address, b" " * 1001)[0] == 413

    def pieces():
        for _ in range(20):
            yield b" " * 100

    where, kind = f"{address}/v1/score", {"Content-Type": "application/json"}
    assert httpx2.post(where, content=pieces(), headers=kind, trust_env=False).status_code == 413


def test_a_picture_of_too_many_pixels_is_not_decoded(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reward_protocol(), "MAX_PIXELS", 5)
    status, answer = post(address, {"images": [packed()], **PLAIN})
    assert status == 400 and "3 x 2 pixels" in answer["error"]


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (lambda *rows: [], "it gave 0 scores for 1 images"),
        (lambda *rows: [float("nan")], "it gave nan for image 0"),
        (lambda *rows: ["x"], "ValueError"),
        (lambda *rows: 1 / 0, "ZeroDivisionError: division by zero"),
    ],
)
def test_a_scorer_that_fails_is_told_to_the_client(scores: Any, said: str) -> None:
    with reference(scores) as address:
        status, answer = post(address, {"images": [packed()], **PLAIN})
    assert status == 500 and said in answer["error"]


def test_one_request_is_scored_at_a_time() -> None:
    inside, most, answers = [0], [0], list[int]()

    def slow(images, prompts, metadata):
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.05)
        inside[0] -= 1
        return [1.0] * len(images)

    with reference(slow) as address:
        body = {"images": [packed()], **PLAIN}
        asking = [threading.Thread(target=lambda: answers.append(post(address, body)[0])) for _ in range(4)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join(20)
    assert answers == [200] * 4 and most == [1]


def test_a_request_that_finds_no_place_must_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reward_protocol(), "MAX_WAITING", 1)
    entered, go, answers = threading.Event(), threading.Event(), list[int]()

    def slow(images, prompts, metadata):
        entered.set()
        go.wait(20)
        return [1.0]

    with reference(slow) as address:
        body = {"images": [packed()], **PLAIN}
        first = threading.Thread(target=lambda: answers.append(post(address, body)[0]))
        first.start()
        entered.wait(20)
        second = httpx2.post(f"{address}/v1/score", json=body, trust_env=False)
        go.set()
        first.join(20)
        assert (second.status_code, second.headers["Retry-After"], answers) == (503, "1", [200])
        assert post(address, body)[0] == 200


def test_its_file_imports_nothing_of_benchbench_and_reads_as_python_3_9() -> None:
    tree = ast.parse((FOLDER / "reward_protocol.py").read_text(encoding="utf-8"), feature_version=(3, 9))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [n.name for n in node.names])
    }
    assert imported - set(sys.stdlib_module_names) == {"PIL", "starlette", "uvicorn"}
    strict = [n for n in ast.walk(tree) if isinstance(n, ast.keyword) and n.arg == "strict"]
    assert not strict and not any(isinstance(n, ast.Match) for n in ast.walk(tree))


@pytest.mark.slow
def test_our_rewards_are_served_by_name() -> None:
    """The process prints its address; the picture is read by our reader, and an unknown name ends in three lines."""
    with process("shapes-aesthetic", "--port", "0", "--device", "cpu", "--max-batch", "3") as (address, _):
        info = httpx2.get(f"{address}/v1/info", trust_env=False).json()
        assert (info["name"], info["max_batch"], info["reads_prompt"]) == ("shapes-aesthetic", 3, False)
        assert info["version"].startswith("shapes-1")
        status, answer = post(address, {"images": [packed((32, 32))], **PLAIN})
        assert status == 200 and len(answer["scores"]) == 1
        assert post(address, {"images": ["AAAA"], **PLAIN})[0] == 400

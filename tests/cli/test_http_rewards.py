"""``--rewards http://...``: the local reward's scores, and what happens where a server breaks, changes or is killed."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchbench.rewards import http_exchange, lookup
from benchbench.rewards.http_exchange import Exchange
from tests.cli.conftest import Bench
from tests.rewards.servers import INFO, Reply, Told, process, reference, right

ROWS = [{"prompt": "a cat", "tag": 1}, {"prompt": "a dog", "tag": 2}, {"prompt": "a cat", "tag": 3}]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other at once."""
    monkeypatch.setattr(http_exchange, "PAUSES", (0.0, 0.0))


@pytest.fixture
def argv(tiny_sd: Path, tmp_path: Path) -> list[object]:
    """Twelve images of three prompts."""
    (tmp_path / "set.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    words = ["eval", "--model", tiny_sd, "--prompts", tmp_path / "set.jsonl", "--images-per-prompt", 4]
    return [*words, "--steps", 1, "--device", "cpu", "--rewards"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten pictures, and their prompts in ``set.jsonl`` of the folder above."""
    out, rng = tmp_path / "pictures", np.random.default_rng(0)
    out.mkdir()
    for n in range(10):
        Image.fromarray(rng.integers(0, 256, (16, 12, 3), dtype=np.uint8)).save(out / f"{n}.png")
    rows = [{"prompt": "a" * (1 + n % 3), "tag": n} for n in range(10)]
    (tmp_path / "ten.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return out


def colours(images: Any, prompts: Any, metadata: Any) -> list[float]:
    return list(lookup.get("shapes-colour")().score(images, prompts).tolist())


def tags(images: Any, prompts: Any, metadata: Any) -> list[float]:
    return [float(row["tag"]) for row in metadata]


def stored(store: Path, name: str) -> pd.DataFrame:
    """The stored scores of a reward, in the order of prompts and samples; empty where there are none."""
    frames = [pd.read_parquet(path) for path in (store / "scores").glob(f"*/{name}.parquet")]
    return pd.concat(frames).sort_values(["prompt_index", "sample"]) if frames else pd.DataFrame({"score": []})


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_eval_gives_the_local_rewards_scores(bench: Bench, argv: list[object], tmp_path: Path) -> None:
    with reference(colours, name="colour", unit="colourfulness / 10", max_batch=5) as address:
        ran = bench(*argv, f"shapes-colour,{address}")
        assert ran.code == 0, ran.err
        assert f"{address} computes colour@http, version 1" in ran.out and "  colour@http\n" in ran.out
        store = tmp_path / "bench-store"
        served, local = stored(store, "colour_http-1"), stored(store, "shapes-colour-*")
        assert len(served) == 12 and served.score.tolist() == local.score.tolist()
        again = bench(*argv, address)
        assert again.code == 0 and "0 reward calls" in again.out
    words = [path.read_bytes() for path in (store / "scores").rglob("*.parquet")]
    assert not any(address.encode() in content for content in words)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda request: right(request, scores=[1.0]), "1 scores for 4 images"),
        (lambda request: right(request, scores=[float("nan")] * 4), "score 0 is nan"),
        (lambda request: right(request, scores=["1"] * 4), "score 0 is '1'"),
        (lambda request: Reply(b"<html>", headers={"Content-Type": "text/html"}), "text/html"),
        (lambda request: Reply({}, 503), "status 503, 3 times in a row"),
        (lambda request: Reply({"error": "no GPU"}, 500), "status 500 (no GPU)"),
        (lambda request: Reply({}, 302, {"Location": "http://127.0.0.1:1"}), "not followed"),
        (lambda request: right(request, version="2"), "version 2 now"),
    ],
)
def test_a_server_that_breaks_half_way_loses_nothing(
    bench: Bench, argv: list[object], tmp_path: Path, answer: Any, said: str
) -> None:
    """Four images are scored, then it breaks; the same command asks for the other eight alone."""
    with Told(lambda n, r: right(r) if n == 0 else answer(r)) as told:
        ran = bench(*argv, told.address)
        error = ran.err[ran.err.index("error: ") :]
        assert ran.code == 5 and said in error and len(error.splitlines()) == 3
        assert len(stored(tmp_path / "bench-store", "ruler_http-1")) == 4
    with Told(lambda n, r: right(r)) as told:
        ran = bench(*argv, told.address)
        assert ran.code == 0, ran.err
        assert [len(r["images"]) for r in told.requests] == [4, 4] and "made 0 images" in ran.out
    found = stored(tmp_path / "bench-store", "ruler_http-1")
    assert found.score.tolist() == [5.0] * 12 and set(found.version) == {"1"}


def test_a_new_version_is_scored_apart(bench: Bench, argv: list[object], tmp_path: Path) -> None:
    for version in ("1", "2"):
        with Told(lambda n, r: right(r, version=version), {**INFO, "version": version}) as told:  # noqa: B023
            assert bench(*argv, told.address).code == 0
            assert len(told.requests) == 3
    for version in ("1", "2"):
        assert set(stored(tmp_path / "bench-store", f"ruler_http-{version}").version) == {version}


def test_metadata_arrives_row_by_row_and_other_values_are_scored_apart(
    bench: Bench, argv: list[object], tmp_path: Path
) -> None:
    """Images depend on the texts alone: a changed tag makes none again, and scores under the old tags stay."""
    with reference(tags, needs=("tag",)) as address:
        assert bench(*argv, address).code == 0
        store = tmp_path / "bench-store"
        assert stored(store, "ruler_http-1-*").score.tolist() == [1.0] * 4 + [2.0] * 4 + [3.0] * 4
        (tmp_path / "set.jsonl").write_text("".join(json.dumps({**row, "tag": 7}) + "\n" for row in ROWS))
        ran = bench(*argv, address)
        assert ran.code == 0 and "made 0 images" in ran.out, ran.err
        assert sorted(stored(store, "ruler_http-1-*").score) == sorted([1.0, 2.0, 3.0] * 4 + [7.0] * 12)


def test_missing_metadata_is_refused_before_anything_is_drawn(
    bench: Bench, argv: list[object], folder: Path, tmp_path: Path
) -> None:
    with reference(tags, needs=("tag", "colour")) as address:
        words = ["pairs", "make", *argv[1:5], "--reward", address, "--device", "cpu"]
        train = ["train", "--method", "ddpo", *argv[1:5], "--reward", address, "--device", "cpu"]
        score = ["score", "--images", folder, "--prompts", tmp_path / "ten.jsonl", "--rewards", address]
        for command in ([*argv, address], [*argv, f"{address}=1,shapes-colour=1"], words, train, score):
            ran = bench(*command)
            error = ran.err[ran.err.index("error: ") :]
            assert ran.code == 2 and len(error.splitlines()) == 3, error
            assert "has no 'colour', which the reward ruler@http needs" in error and "the fields tag" in error
    assert not list((tmp_path / "bench-store").rglob("*.webp"))


def test_a_folder_is_scored_row_by_row(bench: Bench, folder: Path, tmp_path: Path) -> None:
    """By position and by name; the local reward's scores to the last digit."""
    words = ["score", "--images", folder, "--device", "cpu", "--rewards"]
    with reference(tags, needs=("tag",), max_batch=3) as address:
        ran = bench(*words, address, "--prompts", tmp_path / "ten.jsonl")
        assert ran.code == 0, ran.err
        assert [float(row["score"]) for row in rows(ran.out)] == [float(n) for n in range(10)]
        named = [{"prompt": "a", "image": f"{n}.png", "tag": 2 * n} for n in reversed(range(10))]
        (tmp_path / "named.jsonl").write_text("".join(json.dumps(row) + "\n" for row in named))
        ran = bench(*words, address, "--prompts", tmp_path / "named.jsonl")
        assert [float(row["score"]) for row in rows(ran.out)] == [2.0 * n for n in range(10)]
    with reference(colours, name="colour", reads_prompt=False) as address:
        ran = bench(*words, f"shapes-colour,{address}")
        assert ran.code == 0, ran.err
        scores = [row["score"] for row in rows(ran.out)]
        assert scores[:10] == scores[10:] and rows(ran.out)[10]["reward"] == "colour@http"
    assert not (tmp_path / "bench-store" / "unfinished").exists()


def test_a_folder_goes_on_where_it_was(bench: Bench, folder: Path, tmp_path: Path) -> None:
    """Four pictures are scored, then the server hangs up; a picture that changes meanwhile is scored again."""
    words = ["score", "--images", folder, "--prompts", tmp_path / "ten.jsonl", "--device", "cpu", "--rewards"]
    with Told(lambda n, r: right(r) if n == 0 else Reply({}, 500)) as told:
        ran = bench(*words, f"shapes-colour,{told.address}")
        assert ran.code == 5 and ran.out == "" and "what was scored is kept" in ran.err
        assert len(list((tmp_path / "bench-store" / "unfinished").iterdir())) == 2
    Image.new("RGB", (5, 5)).save(folder / "1.png")
    with Told(lambda n, r: right(r)) as told:
        ran = bench(*words, f"shapes-colour,{told.address}")
        assert ran.code == 0, ran.err
        assert sum(len(r["images"]) for r in told.requests) == 7
        assert "9 of 10 scores by shapes-colour were made before" in ran.err
        assert "3 of 10 scores by ruler@http were made before" in ran.err
    assert [float(row["score"]) for row in rows(ran.out)[10:]] == [1.0 + n % 3 for n in range(10)]
    assert not (tmp_path / "bench-store" / "unfinished").exists()
    with Told(lambda n, r: right(r)) as told:
        assert bench(*words, f"shapes-colour,{told.address}").out == ran.out and len(told.requests) == 3


def test_show_and_check_ask_the_server(bench: Bench, tmp_path: Path, folder: Path) -> None:
    with reference(tags, needs=("tag",), licence="MIT") as address:
        shown = bench("show", "reward", address)
        assert shown.code == 0 and "not stated" in shown.out and f"on the server {address}; MIT" in shown.out
        checked = bench("check", address)
        assert checked.code == 0 and "not run: it needs the metadata tag" in checked.out
        checked = bench("check", address, "--prompts", tmp_path / "ten.jsonl")
        assert checked.code == 0 and "not run" not in checked.out and "failed" not in checked.out, checked.out
    with reference(lambda images, prompts, metadata: list(range(len(images)))) as address:
        checked = bench("check", address)
        assert checked.code == 2 and "scores depend on the batch" in checked.out


def test_names_that_clash_and_secrets_are_refused(bench: Bench, argv: list[object]) -> None:
    with reference(colours) as first, reference(tags) as second:
        ran = bench(*argv, f"{first},{second}")
        assert ran.code == 2 and "two of the reward servers state the name ruler" in ran.err
        assert bench(*argv, f"{first},{first}").code == 0
    ran = bench(*argv, "http://me:hunter2@127.0.0.1:80")
    assert ran.code == 2 and "would stand in records" in ran.err and "hunter2" not in ran.err + ran.out
    ran = bench(*argv, "ruler2@http")
    assert ran.code == 2 and "cannot be asked by its name" in ran.err
    ran = bench("train", "--method", "sft", "--model", "shapes", "--pairs", "made:shapes-simple:http://h:1:2")
    assert ran.code == 2 and "bench pairs make --reward http://HOST:PORT" in ran.err


def test_methods_that_need_a_gradient_refuse_before_anything_is_loaded(bench: Bench, tmp_path: Path) -> None:
    with reference(colours) as address:
        for method, said in (("tailorpo-g", "needs a differentiable reward"), ("spo", "needs a step-aware reward")):
            ran = bench("train", "--method", method, "--model", "shapes", "--reward", address, "--samples", 8)
            assert ran.code == 2 and said in ran.err and "ruler@http is not" in ran.err
            assert len(ran.err[ran.err.index("error: ") :].splitlines()) == 3
    assert not list((tmp_path / "bench-store").rglob("run.json"))


@pytest.fixture
def killed_after(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Kills a process with -9 before the n-th further request; returns the function that says which and when."""
    left, victims, call = [0], list[subprocess.Popen[str]](), Exchange.__call__

    def counted(self: Exchange, *arguments: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and victims:
            victims[0].kill()
            victims[0].wait()
        return call(self, *arguments, **named)

    def kill(victim: subprocess.Popen[str], requests: int) -> None:
        victims[:] = [victim]
        left[0] = requests

    monkeypatch.setattr(Exchange, "__call__", counted)
    return kill


@pytest.mark.slow
def test_a_server_that_is_killed_loses_nothing(
    bench: Bench, argv: list[object], folder: Path, tmp_path: Path, killed_after: Any
) -> None:
    """Killed with -9 after two requests of an evaluation and of a folder, and started again on another port."""
    score = ["score", "--images", folder, "--device", "cpu", "--rewards"]
    serve = ("shapes-colour", "--port", "0", "--device", "cpu", "--max-batch", "3")
    for command in (argv, score):
        with process(*serve) as (address, server):
            killed_after(server, 4)  # the information, two requests, and the one that fails
            ran = bench(*command, address)
            assert ran.code == 5 and "the connection failed" in ran.err and "what was scored is kept" in ran.err
    assert len(stored(tmp_path / "bench-store", "shapes-colour_http-*")) == 6
    with process(*serve) as (address, _):
        ran = bench(*argv, f"{address},shapes-colour")
        assert ran.code == 0 and "18 reward calls" in ran.out, ran.out + ran.err
        folder_ran = bench(*score, f"{address},shapes-colour")
        assert "6 of 10 scores by shapes-colour@http were made before" in folder_ran.err
    store, scores = tmp_path / "bench-store", [row["score"] for row in rows(folder_ran.out)]
    served, local = stored(store, "shapes-colour_http-*"), stored(store, "shapes-colour-*")
    assert served.score.tolist() == local.score.tolist() and len(served) == 12
    assert scores[:10] == scores[10:] and len(scores) == 20

"""Training on a reward that a server computes: the local reward's run, the metadata of each row, and interruptions."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchbench import prompts
from benchbench.config import RunConfig
from benchbench.errors import RunError, UsageError
from benchbench.noise import Noise
from benchbench.rewards import http_exchange, lookup
from benchbench.store.metrics import read_metrics
from benchbench.train.inputs import look_up
from benchbench.train.loop import train
from tests.rewards.servers import INFO, Reply, Told, reference, right

TWO_STEPS = ["sampler.steps=2", "method.steps=[2,1]"]
CLOCK = ("seconds", "images_per_second")
ROWS = [{"prompt": text, "tag": n} for n, text in enumerate(["a cat", "a dog", "a cow", "a cat", "a fly"])]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other at once."""
    monkeypatch.setattr(http_exchange, "PAUSES", (0.0,))


def run(config: RunConfig, out: Path, **options: Any) -> list[dict[str, Any]]:
    """Trains, and returns the metrics without times."""
    train(config, out, device="cpu", log=lambda line: None, **options)
    return [{k: v for k, v in row.items() if k not in CLOCK} for row in read_metrics(out)]


def colours(images: Any, texts: Any, metadata: Any) -> list[float]:
    return list(lookup.get("shapes-colour")().score(images, texts).tolist())


def test_the_run_is_that_of_the_local_reward(configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics and weights are equal to the bit; the local reward scores PIL images, as a server does."""
    monkeypatch.setattr(lookup.get("shapes-colour"), "differentiable", False)
    local = run(configure("ddpo", *TWO_STEPS, samples=16), tmp_path / "local")
    with reference(colours, name="colour", max_batch=3) as address:
        name, _ = lookup.resolve(address, "shapes")
        served = run(configure("ddpo", *TWO_STEPS, samples=16, reward=name), tmp_path / "served")
    assert served == local and len(served) > 2
    weights = [(tmp_path / n / "pytorch_lora_weights.safetensors").read_bytes() for n in ("local", "served")]
    assert weights[0] == weights[1]
    recorded = [p for p in (tmp_path / "served").rglob("*") if p.is_file() and address.encode() in p.read_bytes()]
    assert recorded == []
    assert json.loads((tmp_path / "served" / "run.json").read_text())["inputs"]["version of the reward colour@http"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "words"),
    [("ddpo", []), ("d3po", []), ("tailorpo", []), ("spo", ["method.step_aware=false", "method.candidates=2"])],
)
def test_every_row_comes_with_its_own_metadata(configure, method: str, words: list[str], tmp_path: Path) -> None:
    """Every sample's row is scored equally often, in whatever repetition: the two cats are told apart by their tags."""
    file = tmp_path / "tags.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    with Told(lambda n, r: right(r), {**INFO, "needs": ["tag"], "max_batch": 16}) as told:
        name, _ = lookup.resolve(told.address, "shapes")
        settings = [*words, "train.eval_every=0", *(TWO_STEPS if method != "spo" else TWO_STEPS[:1])]
        config = configure(method, *settings, reward=name).model_copy(update={"prompts": str(file), "samples": 32})
        run(config, tmp_path / "run")
        seen = [(t, m["tag"]) for r in told.requests for t, m in zip(r["prompts"], r["metadata"], strict=True)]
    samples = 32 // config.method_class.images(config.method_config)
    drawn = [Noise(0, "train").integer(len(ROWS), "prompt", i) for i in range(samples)]
    times = len(seen) // samples
    assert Counter(seen) == Counter({(ROWS[i]["prompt"], i): times * n for i, n in Counter(drawn).items()})
    assert {0, 3} <= set(drawn) and times >= 1


def test_the_fixed_evaluation_has_the_rows_in_their_order(configure, tmp_path: Path) -> None:
    file = tmp_path / "tags.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    with Told(lambda n, r: right(r), {**INFO, "needs": ["tag"], "max_batch": 16}) as told:
        name, _ = lookup.resolve(told.address, "shapes")
        config = configure("ddpo", "train.eval_images=7", *TWO_STEPS, reward=name, samples=8)
        config = config.model_copy(update={"prompts": str(file)})
        run(config, tmp_path / "run")
    assert [row["tag"] for row in told.requests[0]["metadata"]] == [0, 1, 2, 3, 4, 0, 1]


def test_other_metadata_are_another_run(configure, tmp_path: Path) -> None:
    """Metadata counts where the reward needs the field; other fields are no part of the run."""
    file = tmp_path / "tags.jsonl"
    with Told(lambda n, r: right(r), {**INFO, "needs": ["tag"]}) as told:
        name, _ = lookup.resolve(told.address, "shapes")
        config = configure("ddpo", "train.eval_every=0", *TWO_STEPS, reward=name, samples=8)
        config = config.model_copy(update={"prompts": str(file)})
        for more in ({}, {"unread": 1}):
            file.write_text("".join(json.dumps({**row, **more}) + "\n" for row in ROWS))
            run(config, tmp_path / "run")  # the second finds the run complete
        file.write_text("".join(json.dumps({**row, "tag": 9}) + "\n" for row in ROWS))
        with pytest.raises(UsageError, match="holds a run of other inputs") as error:
            run(config, tmp_path / "run")
        assert "prompts (" in error.value.cause
        file.write_text('{"prompt": "a cat"}\n')
        with pytest.raises(UsageError, match="has no 'tag', which the reward ruler@http needs"):
            look_up(config)
    assert prompts.load(str(file)).prompts == ("a cat",)


@pytest.mark.slow
def test_a_run_goes_on_when_the_server_is_back_and_not_on_another_version(configure, tmp_path: Path) -> None:
    """The server fails in the third rollout; the resumed run has the metrics of one that was never broken off."""

    def config(address: str) -> RunConfig:
        return configure("ddpo", "train.eval_every=0", *TWO_STEPS, reward=lookup.resolve(address, "")[0])

    with Told(lambda n, r: right(r), {**INFO, "max_batch": 16}) as told:
        whole = run(config(told.address), tmp_path / "whole")
    with Told(lambda n, r: right(r) if n < 2 else Reply({}, 503), {**INFO, "max_batch": 16}) as told:
        with pytest.raises(RunError, match="does not answer") as error:
            run(config(told.address), tmp_path / "run")
        assert "bench train: with --resume" in error.value.remedy
    with Told(lambda n, r: right(r, version="2"), {**INFO, "version": "2", "max_batch": 16}) as told:
        with pytest.raises(UsageError, match="holds a run of other inputs") as other:
            run(config(told.address), tmp_path / "run", resume=True)
        assert "version of the reward ruler@http (1 then, 2 now)" in other.value.cause
    with Told(lambda n, r: right(r), {**INFO, "max_batch": 16}) as told:
        assert run(config(told.address), tmp_path / "run", resume=True) == whole
        assert len(told.requests) == 2

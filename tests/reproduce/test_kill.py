"""``reproduce`` killed with -9 again and again, and started twice at once: nothing is lost, nothing made twice."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.forked import Forked

SMALL = """
import sys
from pathlib import Path
from benchbench.reproduce import run as reproduce, spec
from benchbench.runtime.backends.choice import BackendChoice
from tests.forked import fork_jobs

fork_jobs()
found = spec.load("tailorpo:2")
one = spec.Block(prompts="shapes-simple", images=1, published="animals")
row = spec.Row(method="ddpo", set=["train.save_every=16", "train.eval_images=4", "train.eval_every=16"])
track = found.tracks["shapes"].model_copy(update={"samples": 64, "blocks": [one], "quick_blocks": []})
small = found.model_copy(update={"tracks": {"shapes": track}, "rows": {"base": found.rows["base"], "ddpo": row}})
reproduce.load = lambda table: small
reproduce.reproduce("tailorpo:2", store=Path(sys.argv[1]), quick=True, where=BackendChoice(jobs=2))
"""
KILLS = 4
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("killed tables")]  # one process makes ``whole``
TIMES = {"seconds", "images_per_second"}  # of metrics: all else is the same however often the run was broken off


def start(store: Path) -> Forked:
    """Starts the command in a process group of its own, with its children."""
    return Forked(["-c", SMALL, str(store)], store.with_suffix(".log"), new_session=True)


def files(store: Path) -> list[Path]:
    """Counts the weights, images and scores of a store."""
    return [
        path for kind in ("runs/*/*.safetensors", "images/*/*.webp", "scores/*/*.parquet") for path in store.glob(kind)
    ]


def contents(store: Path) -> dict[str, Any]:
    """Returns the content of a store: weights and images by their bytes, metrics and scores by their rows."""
    found: dict[str, Any] = {}
    for path in files(store):
        rows = path.suffix == ".parquet"
        found[str(path.relative_to(store))] = pd.read_parquet(path).to_dict("records") if rows else path.read_bytes()
    for path in store.glob("runs/*/metrics.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        found[str(path.relative_to(store))] = [
            {key: value for key, value in line.items() if key not in (*TIMES, "checksum")} for line in lines
        ]
    for path in store.glob("reports/*/tailorpo-2-training-QUICK.csv"):
        found["table"] = path.read_text()
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the store that an uninterrupted run leaves."""
    store = tmp_path_factory.mktemp("whole")
    assert start(store).wait(900) == 0
    return store


def counted(found: dict[str, Any]) -> None:
    """45 prompts of the base and of one training, each an image and a score under reward and oracle; 4 optimiser steps,
    each logged once.
    """
    assert sum(name.endswith(".webp") for name in found) == 2 * 45
    scores = [rows for name, rows in found.items() if name.endswith(".parquet")]
    assert len(scores) == 4 and all(len({row["prompt_index"] for row in rows}) == len(rows) == 45 for rows in scores)
    (metrics,) = (rows for name, rows in found.items() if name.endswith("metrics.jsonl"))
    assert [row["samples"] for row in metrics if "loss" in row] == [16, 32, 48, 64]
    assert [row["samples"] for row in metrics if "eval.reward" in row] == [0, 16, 32, 48, 64]


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1])
def test_killed_at_random_moments(seed: int, whole: Path, tmp_path: Path) -> None:
    """The whole group is killed with -9 when the store holds a drawn number of files; the last start is left alone.

    Moments are counted in what is there, not in seconds, so that every start is killed at work on any machine.
    Weights, images, scores, metrics and the table are those of the run that nobody killed, to the bit.
    """
    counted(contents(whole))
    for moment in sorted(random.Random(seed).sample(range(len(files(whole)) - 1), KILLS)):
        running = start(tmp_path)
        try:
            while len(files(tmp_path)) <= moment:
                assert running.poll() is None, "it ended before it was killed"
                time.sleep(0.02)
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)
            killed = running.wait() == -signal.SIGKILL
        assert killed
    assert start(tmp_path).wait(900) == 0
    assert contents(tmp_path) == contents(whole)


def test_two_at_once_share_the_work(whole: Path, tmp_path: Path) -> None:
    """Both end well, and what they leave is what one alone does: one training, each image and each score once."""
    both = [start(tmp_path), start(tmp_path)]
    assert [one.wait(900) for one in both] == [0, 0]
    assert contents(tmp_path) == contents(whole)
    assert len(list((tmp_path / "runs").glob("*/done.json"))) == 1

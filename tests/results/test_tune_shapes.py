"""The learning-rate search behind the shapes presets."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbench.errors import RunError
from benchbench.runtime.jobs import Failure, Job
from results import tune_shapes


def test_the_search_takes_the_best_reward_that_keeps_the_oracle() -> None:
    """Mean rewards are 11, (12 + 14)/2 = 13 and 14; the oracle falls by 0, 0.02 and 0.2 from 0.9."""

    def row(lr: float, reward: float, oracle: float) -> dict[str, object]:
        return {"method": "m", "lr": lr, "reward_after": reward, "oracle_before": 0.9, "oracle_after": oracle}

    rows = [row(0.5, 11, 0.9), row(0.5, 11, 0.9), row(1, 12, 0.86), row(1, 14, 0.9), row(2, 14, 0.7), row(2, 14, 0.7)]
    assert tune_shapes.best(rows) == {"m": 1}


def test_a_training_that_fails_is_the_end_of_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """4 methods x 1 rate x 2 seeds: eight jobs; the table is not written without one of them."""
    started: list[Job] = []

    def fail(jobs: list[Job], *_: object) -> list[Failure]:
        started.extend(jobs)
        return [Failure(jobs[0], RunError("it failed", "NaN", "lower it"))]

    monkeypatch.setattr(tune_shapes, "run", fail)
    with pytest.raises(RunError, match="it failed"):
        tune_shapes.search(tmp_path, 2, [1e-3], 16)
    assert len({job.log for job in started}) == 8
    assert all("train.lr=0.001" in job.command and "--resume" in job.command for job in started)

"""The control best-of-N: its images by hand, its plan, and its verdicts, which trainings do not decide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchbench.evaluate.reward_table import reward_table
from benchbench.report.answer import answer
from benchbench.reproduce import sweep
from benchbench.reproduce.best_of import best_of
from benchbench.reproduce.plan import make_plan
from benchbench.reproduce.plan_jobs import measurement_jobs
from benchbench.reproduce.spec import Row
from tests.evaluate.test_reward_table import PROTOCOL
from tests.reproduce.test_claims import frames
from tests.stats.test_paired import frame

SWEEP = "model: shapes\nmethods: [d3po]\nrewards: [shapes-colour]\nprompts: {shapes-simple: 2}\nbest_of: [4]\n"


def test_the_best_by_one_reward_is_scored_by_all() -> None:
    """Two prompts, four candidates for two images; the judge likes candidates 1 and 2, then (a tie) 0 and 3."""
    judge = frame([[1, 5, 9, 2], [4, 4, 0, 7]]).assign(reward="judge")
    other = frame([[10, 20, 30, 40], [50, 60, 70, 80]]).assign(reward="other")
    found = best_of(pd.concat([other, judge], ignore_index=True), "judge", 2)
    by_reward = {reward: part.score.tolist() for reward, part in found.groupby("reward")}
    assert by_reward == {"judge": [5, 9, 4, 7], "other": [20, 30, 50, 80]}
    one = found[found.reward == "other"]
    assert list(zip(one.prompt_index, one["sample"], strict=True)) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_a_sweep_draws_four_images_for_each_that_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(SWEEP, encoding="utf-8")
    found = sweep.load(file)
    plan = make_plan(found.spec, "shapes", found.track, tmp_path, seeds=found.seeds)
    images = {m.row: (m.images_per_prompt, m.runs) for m in plan.measurements if not m.runs}
    assert images == {"base": (2, ()), "best-of-4": (8, ())}
    assert sum("best-of-4" in job.name for job in measurement_jobs(plan, tmp_path)) == 1
    alone = make_plan(found.spec, "shapes", found.track, tmp_path, rows=["d3po"])
    assert alone.rows == ("base", "d3po"), "only the base comes unasked"


def test_it_has_a_verdict_without_trainings_and_letters_beside_trained_rows() -> None:
    found = frames(5)
    lifted = found["base"].assign(score=found["base"].score + 0.5 + 0.01 * np.arange(len(found["base"])) % 0.1)
    rows = {"base": found["base"], "best-of-4": lifted, "tailorpo": found["tailorpo"]}
    table = reward_table(rows, PROTOCOL, untrained=frozenset({"best-of-4"}))
    cell = table.get("best-of-4", "shapes-colour")
    assert cell is not None and cell.significant is True and cell.seeds == 1 and cell.trainings_needed is None
    assert "describe" not in answer(table, "base"), "no row has too few trainings"
    assert table.ties("shapes-colour").keys() == rows.keys()
    assert reward_table(rows, PROTOCOL).get("best-of-4", "shapes-colour").significant is None  # type: ignore[union-attr]


def test_a_row_is_either_trained_or_chosen() -> None:
    with pytest.raises(ValueError, match="leave method and checkpoint out"):
        Row(method="d3po", best_of=4)

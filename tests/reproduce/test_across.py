"""The summary over rewards of a table with several rewards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchbench.evaluate.reward_table import reward_table
from benchbench.reproduce.across import MIDDLE, across_table
from benchbench.stats.across_rewards import interquartile_mean
from tests.evaluate.test_reward_table import PROTOCOL
from tests.reproduce.test_claims import REWARDS, frames
from tests.reproduce.test_tables import make


def test_each_row_over_all_rewards(tmp_path: Path) -> None:
    plan, found = make("tailorpo:2", "shapes", tmp_path), frames(5)
    table = across_table(plan, reward_table(found, PROTOCOL), found)
    assert table is not None and table.rows == ("ddpo", "d3po", "spo", "tailorpo", "tailorpo-g")
    cell, base = table.get("tailorpo", MIDDLE), found["base"]
    expected = []
    for reward in REWARDS:
        ours, theirs = (part[part.reward == reward].score for part in (found["tailorpo"], base))
        by_seed = ours.to_numpy().reshape(5, -1).mean(1) - theirs.mean()
        expected.append(by_seed / np.std(theirs, ddof=1))
    assert cell is not None and cell.value == pytest.approx(interquartile_mean(expected).value)
    one, other = table.get("tailorpo", "P(more than d3po)"), table.get("d3po", "P(more than tailorpo)")
    assert one is not None and other is not None and one.value + other.value == pytest.approx(1)
    assert one.value > 0.9 and table.get("d3po", "P(more than d3po)") is None


def test_one_reward_or_few_trainings_have_no_summary(tmp_path: Path) -> None:
    plan, found = make("tailorpo:2", "shapes", tmp_path), frames(4)
    assert across_table(plan, reward_table(found, PROTOCOL), found) is None
    found = frames(5)
    assert across_table(plan, reward_table(found, PROTOCOL, held_out=frozenset({REWARDS[0]})), found) is None
    del found["base"]
    assert across_table(plan, reward_table(found, PROTOCOL, base=None), found) is None

"""Cells of means: fractions, and scores of which some are right by chance."""

from __future__ import annotations

import pandas as pd
import pytest

from benchbench.evaluate.mean_cell import chance_of, chance_sentence, difference_cell, mean_cell
from benchbench.report.table import make_cell
from benchbench.stats import proportions
from benchbench.stats.multiple import Verdict
from benchbench.stats.paired import difference

PROMPTS = ("a red circle", "a large blue ring")
CHANCE = ((1 / 8 + 1 / 6) / 2 + (1 / 2 + 1 / 8 + 1 / 6) / 3) / 2


def rows(scores: list[float], reward: str = "shapes-oracle") -> pd.DataFrame:
    """Returns two images of each prompt."""
    return pd.DataFrame(
        {
            "prompt_index": [0, 0, 1, 1],
            "prompt": [PROMPTS[0]] * 2 + [PROMPTS[1]] * 2,
            "sample": [0, 1, 0, 1],
            "eval_seed": 0,
            "reward": reward,
            "version": "2",
            "unit": "fraction of stated attributes",
            "score": scores,
            "train_seed": 0,
        }
    )


def test_chance_is_taken_off_the_oracle() -> None:
    """Two attributes have .1458 and three .2639: .2049 on average."""
    part = rows([0.5, 1.0, 0.5, 1.0])
    assert chance_of(part) == pytest.approx(CHANCE) == pytest.approx(0.20486, abs=1e-5)
    cell, raw = mean_cell(part), proportions.share(part, 0.95)
    for found, share in ((cell.value, raw.value), (cell.low, raw.low), (cell.high, raw.high)):
        assert found == pytest.approx((share - CHANCE) / (1 - CHANCE))
    assert mean_cell(rows([1.0] * 4)).value == 1.0
    assert "shapes-oracle: (share - 0.20) / (1 - 0.20)" in chance_sentence([part])


def test_a_column_that_names_its_trainings_is_corrected_too() -> None:
    assert chance_of(rows([1.0] * 4, "shapes-oracle (shapes-colour)")) == pytest.approx(CHANCE)


def test_other_scores_stay() -> None:
    """Rewards without a chance keep their values, as do names that are no reward of this installation."""
    for name in ("shapes-clip", "http://localhost:1", "diversity"):
        part = rows([0.1, 0.2, 0.3, 0.4], name)
        assert mean_cell(part).value == pytest.approx(0.25) and chance_sentence([part]) == ""


def test_differences_are_those_of_the_corrected_means_and_gains_stay() -> None:
    ours, theirs = rows([1.0, 0.5, 1.0, 1.0]), rows([0.5, 0.5, 0.5, 1.0])
    found, verdict = difference(ours, theirs), Verdict(0.5, 0.5, False, 1)
    cell = mean_cell(ours, found)
    assert cell.difference == pytest.approx(cell.value - mean_cell(theirs).value)
    assert cell.gain == make_cell(found.raw, found).gain
    alone = difference_cell(ours, found, verdict)
    assert (alone.value, alone.difference, alone.low) == (cell.difference, cell.difference, cell.difference_low)

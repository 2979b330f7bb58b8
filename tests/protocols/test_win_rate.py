"""Win rates: what is won, drawn and lost, per image and per prompt."""

from __future__ import annotations

import pandas as pd
import pytest

from benchbench.errors import UsageError
from benchbench.protocols.win_rate import WinRate, WinSettings, compare
from benchbench.stats.proportions import wilson, wins

SCORES = [(0, 0, 1.0), (0, 1, 2.0), (1, 0, 3.0), (1, 1, 4.0)]


def frame(scores: list[tuple[int, int, float]] = SCORES, reward: str = "r") -> pd.DataFrame:
    rows = [
        {"prompt_index": p, "prompt": f"p{p}", "sample": s, "eval_seed": 0, "reward": reward, "version": "1",
         "unit": "x", "score": score} for p, s, score in scores
    ]  # fmt: skip
    return pd.DataFrame(rows)


OURS = frame([(0, 0, 1.5), (0, 1, 1.0), (1, 0, 3.0), (1, 1, 4.5)])


def test_images_are_compared_one_by_one() -> None:
    """1.5 > 1 wins, 1 < 2 loses, 3 = 3 draws, 4.5 > 4 wins; with a tie of .5 both wins are draws."""
    found = compare(OURS, frame(), WinSettings())
    assert found.win.tolist() == [1, 0, 0, 1] and found.draw.tolist() == [0, 0, 1, 0]
    assert found.lose.tolist() == [0, 1, 0, 0]
    loose = compare(OURS, frame(), WinSettings(tie=0.5))
    assert loose.draw.tolist() == [1, 0, 1, 1] and loose.lose.tolist() == [0, 1, 0, 0]


def test_prompts_are_compared_by_their_means() -> None:
    """Prompt 0: 1.25 < 1.5 loses; prompt 1: 3.75 > 3.5 wins."""
    found = compare(OURS, frame(), WinSettings(unit="prompt"))
    assert found.win.tolist() == [0, 1] and found.lose.tolist() == [1, 0]


def test_rows_that_were_not_sampled_alike_are_refused() -> None:
    with pytest.raises(UsageError):
        compare(OURS[:3], frame(), WinSettings())
    with pytest.raises(UsageError):
        compare(OURS.assign(eval_seed=1), frame(), WinSettings())


def test_the_table_has_every_outcome() -> None:
    """Wins 2/4, draws 1/4, losses 1/4."""
    table = WinRate().table({"ours": compare(OURS, frame(), WinSettings())}, WinSettings(), published={
        ("ours", "r: win"): 0.6
    })  # fmt: skip
    cells = table.cells["ours"]
    assert [cells[f"r: {name}"].value for name in ("win", "draw", "lose")] == [0.5, 0.25, 0.25]
    assert cells["r: win"].published == 0.6 and table.best("r: win") is None
    assert [(c.key, c.better) for c in table.columns] == [("r: win", "higher"), ("r: draw", ""), ("r: lose", "lower")]


def test_a_win_rate_has_one_interval_everywhere() -> None:
    """Without draws the table's interval is that of ``bench compare``; it has a width where every image wins."""
    for shift in (0.5, -0.5):
        ours = frame([(p, s, score + shift + (p == s) * 0.7) for p, s, score in SCORES])
        cell = WinRate().table({"ours": compare(ours, frame(), WinSettings())}, WinSettings()).cells["ours"]["r: win"]
        rate = wins(ours, frame()).rate
        assert cell.low is not None and cell.high is not None and cell.high - cell.low > 0.1
        assert (cell.value, cell.low, cell.high) == (rate.value, rate.low, rate.high)


def test_wilson_never_leaves_the_unit_interval() -> None:
    """0 of 10: [0, z²/(n + z²)] = [0, 3.8415/13.8415 = .2775]."""
    assert wilson(0, 10) == (pytest.approx(0, abs=1e-12), pytest.approx(0.27753, abs=1e-4))


def test_several_trainings_are_one_row() -> None:
    one = compare(OURS, frame(), WinSettings())
    other = compare(frame(), OURS, WinSettings())
    both = pd.concat([one.assign(train_seed=0), other.assign(train_seed=1)])
    cell = WinRate().table({"ours": both}, WinSettings()).cells["ours"]["r: win"]
    assert (cell.value, cell.seeds, cell.images) == (0.375, 2, 8)

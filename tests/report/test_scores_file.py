"""The scores behind a report's tables are kept beside them, and give the table again."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchbench.evaluate.reward_table import reward_table
from benchbench.report.scores_file import write_scores
from tests.evaluate.test_reward_table import PROTOCOL, frame, trained


def test_the_table_can_be_made_again_from_the_scores(tmp_path: Path) -> None:
    frames = {"base": frame(0), "ours": trained(1)}
    write_scores(tmp_path, {"rewards": frames})
    kept = pd.read_parquet(tmp_path / "scores.parquet")
    assert list(kept.columns[:2]) == ["table", "row"] and set(kept.table) == {"rewards"}
    again = {str(row): rows.drop(columns=["table", "row"]) for row, rows in kept.groupby("row", sort=False)}
    table, made = reward_table(frames, PROTOCOL), reward_table(again, PROTOCOL)
    assert made.cells == table.cells


def test_a_report_without_scores_has_no_file(tmp_path: Path) -> None:
    write_scores(tmp_path, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("table", ["rewards", "win rates"])
def test_tables_are_told_apart(tmp_path: Path, table: str) -> None:
    write_scores(tmp_path, {"rewards": {"base": frame(0)}, "win rates": {"base": frame(2)}})
    kept = pd.read_parquet(tmp_path / "scores.parquet")
    assert (kept[kept.table == table].score.mean() > 7) == (table == "win rates")

"""The verdicts of two sweeps on the same rows, whose scores are drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchbench.errors import UsageError
from benchbench.reproduce.ranked import Ranked, read_report
from results.same_verdicts import compare, main, verdicts
from tests.reproduce.test_leaderboard import REWARD, report


def later(one: Ranked) -> Ranked:
    """Returns the report with training seeds from 50 on."""
    moved = {
        row: [{**entry, "config": {**entry["config"], "seed": 50 + entry["config"]["seed"]}} for entry in entries]
        for row, entries in one.trainings.items()
    }
    return replace(one, trainings=moved)


def test_a_report_agrees_with_itself(tmp_path: Path) -> None:
    """Five rows, the base among them, are ten pairs; TailorPO and TailorPO-G were drawn too close to be told apart."""
    one = read_report(report(tmp_path))
    found = verdicts(one)
    assert len(found) == 10 and found["tailorpo", "tailorpo-g"] == "not told apart"
    assert found["ddpo", "tailorpo"] == "tailorpo"
    same = compare(one, later(one))
    assert same == [f"{REWARD}: 10 of 10 pairs of rows have the same verdict; 0 have the opposite one"]


def test_pairs_that_differ_are_named(tmp_path: Path) -> None:
    one = read_report(report(tmp_path))
    ahead = {pair for pair in one.frontier.ahead[REWARD] if set(pair) != {"ddpo", "best-of-4"}}
    ahead = ahead - {("tailorpo", "ddpo")} | {("ddpo", "tailorpo")}
    other = replace(later(one), frontier=one.frontier.model_copy(update={"ahead": {REWARD: tuple(ahead)}}))
    lines = compare(one, other)
    assert lines[0] == f"{REWARD}: 8 of 10 pairs of rows have the same verdict; 1 have the opposite one"
    assert set(lines[1:]) == {
        "  best-of-4 and ddpo: best-of-4 is ahead; not told apart",
        "  ddpo and tailorpo: tailorpo is ahead; ddpo is ahead",
    }


def test_what_cannot_be_compared_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = str(report(tmp_path, trainings=3))
    assert main([one]) == 2 and "1 were named" in capsys.readouterr().err
    two = read_report(Path(one))
    with pytest.raises(UsageError, match="tells no rows apart"):
        compare(two, later(two))
    assert main([one, str(tmp_path / "nothing")]) != 0 and "is not a report" in capsys.readouterr().err


def test_only_two_sweeps_of_one_plan_are_compared(tmp_path: Path) -> None:
    one = read_report(report(tmp_path))
    with pytest.raises(UsageError) as error:
        compare(one, one)
    assert "share the training seeds 0, 1, 2, 3, 4" in error.value.cause
    fewer = later(read_report(report(tmp_path / "fewer", methods=("ddpo", "tailorpo"))))
    for other, word in ((replace(later(one), reward="shapes-pref"), "rewards"), (fewer, "rows")):
        with pytest.raises(UsageError) as error:
            compare(one, other)
        assert f"their {word} differ" in error.value.cause

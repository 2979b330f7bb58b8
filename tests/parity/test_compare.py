"""Differences in deviations of the scores, computed by hand; what is written, and when the command fails."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from benchbench.errors import RunError, UsageError
from benchbench.parity import compare
from benchbench.parity.compare import Row

OURS = [1.0, 2.0, 3.0, 4.0, 5.0]  # their deviation is the root of 10 / 4
SD = 2.5**0.5


def row(gap: float, name: str = "pickscore") -> Row:
    """Theirs differ by ``gap`` deviations in one picture, and by less in another."""
    return Row(name, "transformers 4.38.2", OURS, [1.0, 2.0 - gap * SD, 3.0, 4.0 + gap * SD / 2, 5.0])


def test_numbers_by_hand() -> None:
    found = row(0.25)
    assert found.sd == pytest.approx(SD) and found.difference == pytest.approx(0.25 * SD)
    assert found.in_sds == pytest.approx(0.25) and not found.equal
    assert found.cells() == ["pickscore", "transformers 4.38.2", "5", "3", "1.58", "4.0e-01", "2.5e-01", "DIFFERENT"]


@pytest.mark.parametrize(("gap", "equal"), [(0.0, True), (0.99e-4, True), (1.01e-4, False), (3.0, False)])
def test_the_limit_is_a_ten_thousandth_of_a_deviation(gap: float, equal: bool) -> None:
    assert row(gap).equal is equal and (row(gap).verdict == "equal to 0.0001 SD") is equal


@pytest.mark.parametrize("theirs", [[2.0, 2.0], [2.0, 2.5]])
def test_scores_that_do_not_vary_are_never_equal(theirs: list[float]) -> None:
    found = Row("aesthetic", "clip", [2.0, 2.0], theirs)
    assert not found.equal and found.verdict == "no verdict: the scores do not vary"
    assert found.record()["in SDs"] is None, "no file of JSON can hold infinity"


def test_a_difference_ends_in_three_lines_that_name_it() -> None:
    compare.require_equal([row(0.0), row(0.5e-4)])
    with pytest.raises(RunError, match="1 of 2 rewards") as raised:
        compare.require_equal([row(0.0), row(0.25, "hpsv2.1")])
    assert raised.value.cause.startswith("hpsv2.1: 4.0e-01, 2.5e-01 SD") and raised.value.code == 5


def test_a_csv_has_the_table(tmp_path: Path) -> None:
    compare.write(tmp_path / "a.csv", [row(0.25)], {})
    with (tmp_path / "a.csv").open(newline="") as file:
        (read,) = csv.DictReader(file)
    assert tuple(read) == compare.COLUMNS and float(read["in SDs"]) == pytest.approx(0.25)


def test_json_has_every_score(tmp_path: Path) -> None:
    compare.write(tmp_path / "a.json", [row(0.25)], {"python": "3.10"})
    read = json.loads((tmp_path / "a.json").read_text())
    assert read["python"] == "3.10" and read["limit in SDs"] == compare.LIMIT
    assert read["rewards"][0]["ours"] == OURS and read["rewards"][0]["theirs"][1] == pytest.approx(2 - 0.25 * SD)


def test_nothing_is_overwritten_and_the_ending_decides(tmp_path: Path) -> None:
    compare.check_target(None)
    compare.check_target(tmp_path / "new.json")
    (tmp_path / "old.csv").write_text("")
    for name, words in (("old.csv", "there already"), ("new.txt", "unknown ending")):
        with pytest.raises(UsageError, match=words):
            compare.check_target(tmp_path / name)

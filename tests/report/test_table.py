"""Tables as CSV and Markdown."""

import csv
import io

import pytest

from benchbench.report.table import gain, interval, number
from tests.report.pages import EVIL, TABLE


def test_csv_has_every_number_in_full() -> None:
    rows = list(csv.DictReader(io.StringIO(TABLE.csv())))
    assert len(rows) == 3
    assert (rows[0]["row"], rows[0]["column"], rows[0]["unit"]) == ("base", "colour", "points")
    assert (rows[0]["value"], rows[0]["low"], rows[0]["gain"], rows[0]["published"]) == ("5.7234", "5.6", "", "5.79")
    assert rows[1]["row"] == EVIL and float(rows[1]["gain"]) == 1.234
    assert {row["protocol"] for row in rows} == {"abcd"} and {row["quick"] for row in rows} == {"false"}


def test_markdown_is_a_table_and_marks_the_best() -> None:
    lines = TABLE.markdown().splitlines()
    assert lines[2] == "| | colour | oracle |" and lines[3] == "|---|---:|---:|"
    assert lines[4] == "| base | 5.72 [5.60, 5.85]<br>published 5.79 | — |"
    assert "**6.50** [6.40, 6.60]<br>+1.23 SD [−1.00, +1.50]" in lines[5]
    assert r"\<script\>" in lines[5] and len(lines) == 6


def test_a_row_alone_is_not_the_best() -> None:
    assert TABLE.best("colour") == EVIL and TABLE.best("oracle") is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5.7234, "5.72"),
        (0.21534, "0.215"),
        (0.0123, "0.0123"),
        (21.3, "21.30"),
        (123.45, "123.5"),
        (-1204.6, "−1,205"),
        (-0.00001, "0.0000"),
        (0, "0.0000"),
    ],
)
def test_numbers_are_rounded_for_readers(value: float, text: str) -> None:
    assert number(value) == text


def test_intervals_have_the_digits_of_their_mean() -> None:
    assert interval(0.98, 1.004, like=0.99) == "[0.980, 1.004]"
    assert interval(None, None) == ""
    assert gain(TABLE.cells["base"]["colour"]) == ""

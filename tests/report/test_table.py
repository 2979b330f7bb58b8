"""Tables as CSV and Markdown."""

import csv
import io
import re

import pytest

from benchbench.report.latex import latex
from benchbench.report.latex_text import escape, wrap
from benchbench.report.page import html
from benchbench.report.sections import Page, TableSection
from benchbench.report.table import (
    P_VALUE,
    Cell,
    Column,
    Table,
    format_gain,
    format_interval,
    format_number,
    format_value,
    format_verdict,
)
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
    assert lines[2] == "| | colour<br>points, higher is better ↑ | oracle |" and lines[3] == "|---|---:|---:|"
    assert lines[4] == "| base | 5.72 b [5.60, 5.85]<br>published 5.79 (aesthetic, sd15) | — |"
    assert "**6.50** a [6.40, 6.60]<br>+1.23 SD [−1.00, +1.50]" in lines[5]
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
        (384, "384"),
        (-1204.6, "−1,205"),
        (-0.00001, "0.0000"),
        (0, "0.0000"),
    ],
)
def test_numbers_are_rounded_for_readers(value: float, text: str) -> None:
    assert format_number(value) == text


def test_intervals_have_the_digits_of_their_mean() -> None:
    assert format_interval(0.98, 1.004, like=0.99) == "[0.980, 1.004]"
    assert format_interval(None, None) == ""
    assert format_gain(TABLE.cells["base"]["colour"]) == ""


MARKED = Cell(value=2, difference=1.0, gain=0.5, gain_low=0.2, gain_high=0.8, p=0.001, p_holm=0.004, significant=True)
OPEN = Cell(value=1, gain=0.1, p=0.2, p_holm=0.4, significant=False, trainings_needed=9)


def test_marks_of_significance() -> None:
    assert format_gain(MARKED) == "+0.50 SD* [+0.20, +0.80]" and format_verdict(MARKED) == ""
    words = "not told apart; about 9 trainings would show 0.5 SD"
    assert format_gain(OPEN) == "+0.10 SD" and format_verdict(OPEN) == words
    assert format_verdict(OPEN.model_copy(update={"trainings_needed": None})) == "not told apart"
    many = "not told apart; more than 20 trainings would show 0.5 SD"
    assert format_verdict(OPEN.model_copy(update={"trainings_needed": 21})) == many
    assert format_verdict(OPEN.model_copy(update={"significant": None})) == ""
    table = TABLE.model_copy(update={"cells": {"base": {}, EVIL: {"colour": MARKED, "oracle": OPEN}}})
    assert r"+0.50 SD\* [+0.20, +0.80]" in table.markdown() and words in table.markdown()
    rows = list(csv.DictReader(io.StringIO(table.csv())))
    assert [(row["p"], row["p_holm"], row["significant"], row["trainings_needed"]) for row in rows] == [
        ("0.001", "0.004", "true", ""),
        ("0.2", "0.4", "false", "9"),
    ]


def test_a_row_is_the_best_only_if_tests_put_it_before_every_other() -> None:
    assert TABLE.model_copy(update={"ahead": {}}).best("colour") is None
    cells = {row: {"r": Cell(value=i)} for i, row in enumerate("abc")}
    three = TABLE.model_copy(update={"rows": tuple("abc"), "cells": cells, "ahead": {"r": (("c", "a"),)}})
    assert three.best("r") is None
    assert three.model_copy(update={"ahead": {"r": (("c", "a"), ("c", "b"))}}).best("r") == "c"


def test_rows_that_are_not_told_apart_share_a_letter() -> None:
    cells = {row: {"r": Cell(value=i)} for i, row in enumerate("abc")}
    table = TABLE.model_copy(update={"rows": tuple("abc"), "cells": cells, "columns": (Column(key="r"),)})
    assert table.model_copy(update={"ahead": {}}).ties("r") == {}
    table = table.model_copy(update={"ahead": {"r": (("c", "a"),)}})
    assert table.ties("r") == {"c": "a", "b": "ab", "a": "b"}
    assert "| b | 1.00 ab |" in table.markdown()
    assert [line["ties"] for line in csv.DictReader(io.StringIO(table.csv()))] == ["b", "ab", "a"]
    assert "Rows that share a letter are not told apart." in latex(table)
    page = html(Page(title="t", intro="", sections=(TableSection(title="t", tables=(table,)),)))
    assert page.count("<sup>ab</sup>") == 1


def test_a_table_of_an_earlier_version_has_no_bold_and_does_not_speak_of_it() -> None:
    old = TABLE.model_dump(exclude={"ahead"}) | {"ranked": True}
    old["caption"] = "One. Bold: the highest mean of a column, which is no verdict. Two."
    read = Table.model_validate(old)
    assert read.best("colour") is None and read.caption == "One. Two."
    with pytest.raises(ValueError, match="Extra inputs"):
        Table.model_validate(old | {"another": 1})


def test_a_small_p_value_is_no_zero() -> None:
    p = Column(key="p", unit=P_VALUE)
    assert format_value(Cell(value=1e-9), p) == "< 0.0001" and format_value(Cell(value=0.03), p) == "0.0300"
    assert format_value(Cell(value=1e-9), Column(key="p")) == "0.0000"


def test_latex_escapes_every_sign() -> None:
    assert escape(r"50% of $x_1$ & #2 {a}") == r"50\% of \$x\_\allowbreak{}1\$ \& \#2 \{a\}"
    assert escape(r"~^\<b>") == r"\textasciitilde{}\textasciicircum{}\textbackslash{}\textless{}b\textgreater{}"


def test_latex_is_a_whole_table() -> None:
    text = latex(TABLE)
    lines = text.splitlines()
    assert lines[lines.index(r"\toprule") + 1] == r" & colour $\uparrow$ & oracle \\"
    first = lines.index(r"\midrule") + 1
    assert lines[first : first + 3] == [
        r"{base} & 5.72\textsuperscript{b} & -- \\[-2pt]",
        r" & {\scriptsize [5.60, 5.85]} &  \\[-2pt]",
        r" & {\scriptsize $^\dagger$5.79} &  \\[2pt]",
    ]
    assert r"\textbf{6.50}\textsuperscript{a}" in text and "$-$1.00" in text and lines[-1] == r"\end{table}"
    assert r"$^\dagger$: published (aesthetic, sd15)." in text and r"\label{tab:t-1}" in text
    assert text.isascii() and "resizebox" not in text
    plain = re.sub(r"\\[\\{}$&#_%]", "", text.split("\n", 1)[1])
    assert plain.count("{") == plain.count("}") and "#" not in plain
    assert all(line.count("&") == 2 for line in plain.splitlines() if line.startswith(("{", " &")))


def wide(columns: int, rows: int = 2) -> str:
    keys = [f"reward-{i // 3}: {('win', 'draw', 'lose')[i % 3]}" for i in range(columns)]
    cell = Cell(value=0.5, low=0.25, high=0.75)
    cells = {f"row {i}": dict.fromkeys(keys, cell) for i in range(rows)}
    made = {"rows": tuple(cells), "columns": tuple(Column(key=key) for key in keys), "cells": cells, "ahead": {}}
    return latex(TABLE.model_copy(update=made))


def test_a_wide_table_is_cut_into_parts_with_every_column_once() -> None:
    text = wide(15)
    assert text.count(r"\begin{tabular}") == 5 and text.count(r"\begin{table}") == text.count(r"\label{") == 1
    assert [text.count(f"{{c}}{{reward-{i}}}") for i in range(5)] == [1] * 5 and text.count("{row 1} &") == 5
    assert wide(3).count(r"\begin{tabular}") == 1


def test_a_tall_table_goes_on_under_its_number() -> None:
    text = wide(3, rows=60)
    pages = text.count(r"\begin{table}")
    assert pages > 2 and text.count("(continued)") == text.count(r"\addtocounter{table}{-1}") == pages - 1
    assert all(text.count(f"{{row {i}}} &") == 1 for i in range(60)) and text.count(r"\label{") == 1


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("diffusion-dpo, strength 0.25", ["diffusion-dpo,", "strength 0.25"]),
        ("shapes-oracle (shapes-colour)", ["shapes-oracle", "(shapes-colour)"]),
        ("x" * 30, ["x" * 18, "x" * 12]),
        ("", [""]),
    ],
)
def test_long_labels_are_broken_between_words_and_never_in_a_number(text: str, lines: list[str]) -> None:
    assert wrap(text, 80, 9) == lines


def test_a_pasted_table_says_the_whole_caption() -> None:
    """The LaTeX without its comments has each sentence: the caveats come last in a caption."""
    caption = (
        "Means. " + "Long words about the conditions of this table. " * 9 + "Nobody has searched 50% of the rates."
    )
    text = latex(TABLE.model_copy(update={"caption": caption}))
    printed = " ".join(line for line in text.splitlines() if not line.startswith("%"))
    assert (
        r"Nobody has searched 50\% of the rates. \end{minipage}" in printed and "\\caption{A table. Means. " in printed
    )
    assert printed.count("Long words about the conditions of this table.") == 9
    assert "minipage" not in latex(TABLE.model_copy(update={"caption": "Means."}))

"""The first line of a report follows from its tests and from nothing else; every table here is made by hand."""

from __future__ import annotations

import pytest

from benchbench.report.answer import answer, comparison_answer, listed, measured_answer
from benchbench.report.table import Cell, Column, Table

Ahead = dict[str, tuple[tuple[str, str], ...]]
# values that would say the opposite of the tests, wherever the means were read
UP = Cell(value=-9, seeds=5, difference=1.0, significant=True)
DOWN = Cell(value=9, seeds=5, difference=-1.0, significant=True)
OPEN = Cell(value=0, seeds=5, difference=0.1, significant=False)
BASE = Cell(value=0)


def table(cells: dict[str, dict[str, Cell]], ahead: Ahead, held_out: tuple[str, ...] = ()) -> Table:
    keys = dict.fromkeys(key for row in cells.values() for key in row)
    columns = tuple(Column(key=key, held_out=key in held_out) for key in keys)
    return Table(name="t", title="T", caption="", rows=tuple(cells), columns=columns, cells=cells, ahead=ahead)


def rows(**cells: list[Cell]) -> dict[str, dict[str, Cell]]:
    """Returns rows with the columns r1, r2, ... and, last, the oracle."""
    return {
        row: {f"r{i + 1}" if i < len(found) - 1 else "oracle": cell for i, cell in enumerate(found)}
        for row, found in cells.items()
    }


def test_two_methods_on_four_rewards() -> None:
    cells = rows(base=[BASE] * 5, tailorpo=[UP, UP, UP, OPEN, DOWN], d3po=[UP, UP, OPEN, OPEN, DOWN])
    pair = ("tailorpo", "d3po")
    ahead: Ahead = {"r1": (pair,), "r2": (pair, ("d3po", "base")), "r3": (), "r4": ()}
    assert answer(table(cells, ahead, ("oracle",))) == (
        "tailorpo is ahead of d3po on 2 of 4 rewards (r1 and r2); rewards ahead of base: tailorpo 3 of 4, d3po 2 of 4; "
        "oracle, which nothing was trained on, falls for both."
    )
    ahead |= {"r3": (("d3po", "tailorpo"),)}
    assert "on 2 of 4 rewards (r1 and r2), and behind on r3;" in answer(table(cells, ahead, ("oracle",)))
    nothing: Ahead = dict.fromkeys(("r1", "r2", "r3", "r4"), ())
    assert answer(table(cells, nothing, ("oracle",))).startswith(
        "tailorpo and d3po are not told apart on any of 4 rewards;"
    )
    worse: Ahead = dict.fromkeys(("r1", "r2", "r3", "r4"), (("d3po", "tailorpo"),))
    assert answer(table(cells, worse, ("oracle",))).startswith("d3po is ahead of tailorpo on all 4 rewards;")


def test_one_method_against_the_base() -> None:
    cells = rows(base=[BASE] * 3, mine=[UP, DOWN, UP])
    assert answer(table(cells, {}, ("oracle",))) == (
        "mine is ahead of base on 1 of 2 rewards (r1), and behind on r2; "
        "oracle, which nothing was trained on, rises for mine."
    )
    assert answer(table(rows(base=[BASE] * 2, mine=[OPEN, OPEN]), {}, ("oracle",))) == (
        "mine and base are not told apart on r1; "
        "oracle, which nothing was trained on, is not told apart from the base's."
    )


def test_many_methods_have_a_leader_or_none() -> None:
    cells = rows(base=[BASE] * 2, a=[UP, DOWN], b=[UP, OPEN], c=[DOWN, UP])
    led: Ahead = {"r1": (("a", "b"), ("a", "c"), ("b", "c"))}
    assert answer(table(cells, led, ("oracle",))) == (
        "a is ahead of every other method on r1; a and b are ahead of base; c is behind base; "
        "oracle, which nothing was trained on, falls for a and rises for c."
    )
    shared: Ahead = {"r1": (("a", "c"), ("b", "c"))}
    assert answer(table(cells, shared, ("oracle",))).startswith("on r1 no row is ahead of a or b; ")


def test_without_enough_trainings_it_says_so_whatever_the_means_are() -> None:
    one = Cell(value=99, seeds=1, difference=99.0)
    cells = {"base": {"r": BASE}, "a": {"r": one}, "b": {"r": one}}
    assert answer(table(cells, {})) == (
        "base, a and b on r, one training a row: these numbers describe these runs; a verdict takes 5 trainings a row."
    )
    cells["b"] = {"r": one.model_copy(update={"seeds": 3})}
    assert "one training a row" in answer(table(cells, {}))
    three = {row: {"r": one.model_copy(update={"seeds": 3})} for row in ("a", "b")}
    assert "a and b on r, 3 trainings a row" in answer(table(three, {}))
    assert answer(table({"base": {"r": BASE}}, {})) == "base on r: one model, so nothing is compared."


def test_rows_that_could_not_be_tested_are_not_compared() -> None:
    cells = {row: {"r": Cell(value=i, seeds=5)} for i, row in enumerate("ab")}
    assert answer(table(cells, {})) == "a and b on r: no row is tested against another."


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([UP, OPEN], "a is ahead of b on 1 of 2 rewards (r0)."),
        ([OPEN, OPEN], "a and b are not told apart on any of 2 rewards."),
        ([Cell(value=-1, seeds=5, significant=True)], "b is ahead of a on r0."),
        ([Cell(value=5)], "a and b on r0, one training a side: these numbers describe these runs; a verdict takes 5 "
                          "trainings a side."),
        ([], "a and b: nothing was compared."),
    ],
)  # fmt: skip
def test_a_comparison_reads_its_differences(found: list[Cell], words: str) -> None:
    signed = [cell.model_copy(update={"value": abs(cell.value) if cell is UP else cell.value}) for cell in found]
    cells = {f"r{i}": {"difference": cell} for i, cell in enumerate(signed)}
    assert comparison_answer(table(cells, {}), "a", "b") == words


def test_a_measurement_tests_nothing() -> None:
    assert measured_answer("Cost", ["a", "b"]) == (
        "Cost, measured on a and b: the numbers describe these models; no row is tested against another."
    )


def test_a_list_of_labels_that_hold_commas_has_semicolons() -> None:
    assert listed(["a", "b", "c"]) == "a, b and c" and listed(["a, 1", "b"], "or") == "a, 1 or b"
    assert listed(["base", "a, rank 4", "b"]) == "base; a, rank 4 and b"

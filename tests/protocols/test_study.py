"""The results of a study: shares, tests and agreement by hand, the rule, and how often intervals hold the truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchbench.protocols.study import StudyResult, analyse, results
from benchbench.protocols.study_outcomes import study_answer
from benchbench.report.sections import OutcomeSection, TextSection
from benchbench.report.table import Cell, Table
from benchbench.rewards import lookup
from benchbench.study.design import Study
from benchbench.study.panel import Panel, vote
from benchbench.study.progress import preferred
from benchbench.study.scores import score_pictures
from benchbench.study.simulate import LEVEL, panel_result, utility_gap, win_minus_lose_of
from benchbench.study.sketch import sketch
from benchbench.study.vote_store import FILE, StoredVote, VoteStore
from tests.study.made import EVIL, make_study

WINS = {0: 1, 1: 1, 2: 0}  # by prompt: the first arm wins on two prompts and draws on the third


def votes_of(study: Study, outcome: dict[tuple[int, int], int], check: int = 1) -> list[StoredVote]:
    """Returns votes of all pages; ``outcome`` is by rater and comparison, and ``check`` that of attention checks."""
    votes = []
    for slot, pages in enumerate(study.assignment):
        for position, item in enumerate(pages):
            wanted = check if item.kind == "check" else outcome[slot, item.number]
            answer = next(a for a in ("left", "right", "draw") if preferred(item, a) == wanted)
            votes.append(StoredVote(slot, position, 0, answer, 2000, 0.0))
    return votes


def table(result: StudyResult, name: str) -> Table:
    [found] = [table for table in result.tables if table.name == name]
    return found


def test_shares_and_tests_by_hand() -> None:
    """Three raters, three prompts with one pair each: all win on prompts 0 and 1, and draw on prompt 2."""
    study = sketch(3, 3, 1)
    result = analyse(study, votes_of(study, {(r, p): WINS[p] for r in range(3) for p in range(3)}), {})
    row = table(result, "outcomes-1-kept").cells["A against B"]
    assert row["win"].value == pytest.approx(2 / 3) and row["draw"].value == pytest.approx(1 / 3)
    assert row["lose"].value == 0 and row["lose"].high is not None and row["lose"].high > 0.3
    difference = row["win - lose"]
    # prompts' sums are 1, 1 and -2 of rests, so the variance is 3/2 * 6 / 81 = 1/9; t of two degrees of freedom
    assert difference.value == pytest.approx(2 / 3) and difference.high is not None
    assert difference.high - difference.value == pytest.approx(4.302652729696 / 3, rel=1e-6)
    assert row["p, sign test over prompts"].value == pytest.approx(0.5)  # two of two
    assert row["p, sign test over raters"].value == pytest.approx(0.25)  # three of three
    # t = 2 with two degrees of freedom: p = 1 - 2 / sqrt(2 + 2^2)
    assert row["p"].value == row["p, Holm"].value == pytest.approx(1 - 2 / np.sqrt(6))
    agreement = table(result, "agreement-kept").cells["Which picture do you prefer?"]
    assert agreement["alpha, ordinal"].value == agreement["alpha, nominal"].value == 1
    assert agreement["checks passed"].value == 1 and agreement["repeats kept"].value == 1


def test_the_answer_follows_from_the_corrected_test() -> None:
    """Many raters of one opinion decide; three raters with p = 0.18, as above, do not."""
    study = sketch(12, 12, 1)
    clear = analyse(study, votes_of(study, {(r, p): 1 for r in range(12) for p in range(12)}), {}).page.answer
    assert clear == "“Which picture do you prefer?”: A is preferred to B."
    lost = analyse(study, votes_of(study, {(r, p): -1 for r in range(12) for p in range(12)}), {}).page.answer
    assert lost == "“Which picture do you prefer?”: B is preferred to A."
    small = sketch(3, 3, 1)
    votes = votes_of(small, {(r, p): WINS[p] for r in range(3) for p in range(3)})
    assert analyse(small, votes, {}).page.answer == "“Which picture do you prefer?”: A and B are not told apart."
    assert analyse(small, votes[:-1], {}).page.answer.startswith("The study is not finished. So far, ")


def test_the_answer_counts_the_pairs_that_are_not_told_apart() -> None:
    tied = {"p, Holm": Cell(value=0.5), "win - lose": Cell(value=0.1)}
    won = {"p, Holm": Cell(value=0.01), "win - lose": Cell(value=-0.5)}
    cells = {"A against B": won, "A against C": tied, "B against C": tied}
    three = Table(name="t", title="Q", caption="", rows=tuple(cells), columns=(), cells=cells)
    assert study_answer([three], False) == "Q: B is preferred to A; the other 2 pairs of rows are not told apart."
    none = three.model_copy(update={"cells": dict.fromkeys(cells, tied)})
    assert study_answer([none], False) == "Q: none of the 3 pairs of rows is told apart."


def test_the_rule_leaves_out_who_fails_the_checks_and_both_results_are_shown() -> None:
    """Two raters win everywhere; the third loses everywhere, and prefers destroyed pictures."""
    study = sketch(3, 4, 1)
    outcome = {(r, p): 1 if r < 2 else -1 for r in range(3) for p in range(4)}
    votes = votes_of(study, outcome)
    failed = votes_of(study, outcome, check=-1)
    votes = [other if vote.slot == 2 else vote for vote, other in zip(votes, failed, strict=True)]
    result = analyse(study, votes, {})
    kept, everybody = (table(result, f"outcomes-1-{word}").cells["A against B"] for word in ("kept", "all"))
    assert (kept["win"].value, everybody["win"].value) == (1, pytest.approx(2 / 3))
    bars = [section for section in result.page.sections if isinstance(section, OutcomeSection)]
    assert [(bar.win, bar.lose) for section in bars for bar in section.groups[0].bars] == [(8, 0), (8, 4)]
    assert "2 raters that the rule keeps" in table(result, "outcomes-1-kept").caption


def test_a_rule_that_leaves_nobody_shows_all_raters() -> None:
    study = sketch(2, 3, 1)
    result = analyse(study, votes_of(study, {(r, p): 1 for r in range(2) for p in range(3)}, check=0), {})
    assert {table.name.rpartition("-")[2] for table in result.tables} == {"all"}


def test_rewards_agree_with_people_as_often_as_they_say() -> None:
    """A reward that prefers the first arm agrees with 3 of 4 decided votes; equal scores count half."""
    study = sketch(2, 2, 1)
    votes = votes_of(study, {(0, 0): 1, (0, 1): 1, (1, 0): 1, (1, 1): -1})
    scores = {"first": [2.0, 2.0, 1.0, 1.0], "equal": [1.0] * 4, "second": [0.0, 0.0, 1.0, 1.0]}
    found = table(analyse(study, votes, scores), "rewards-kept")
    values = {name: row["Which picture do you prefer?"].value for name, row in found.cells.items()}
    assert values == {"first": 0.75, "equal": 0.5, "second": 0.25, "another rater": 0.5}


def test_three_arms_have_strengths_and_several_questions_tables_of_their_own() -> None:
    study = sketch(4, 12, 1, arms=3, questions=("Q?", "R?"))
    utilities = [1.0] * 12 + [0.0] * 12 + [-1.0] * 12
    store = VoteStore(":memory:", study)
    vote(study, store, utilities, Panel(seed=3))
    result = analyse(study, store.votes(), {})
    strengths = table(result, "strengths-kept")
    for question in study.questions:
        values = [strengths.cells[arm][question].value for arm in "ABC"]
        assert values == sorted(values, reverse=True) and sum(values) == pytest.approx(0, abs=1e-9)
    rows = ("A against B", "A against C", "B against C")
    assert table(result, "outcomes-1-kept").rows == table(result, "outcomes-2-kept").rows == rows
    corrected = [table(result, f"outcomes-{q}-kept").cells[row]["p, Holm"].value for q in (1, 2) for row in rows]
    plain = [table(result, f"outcomes-{q}-kept").cells[row]["p"].value for q in (1, 2) for row in rows]
    assert min(corrected) == pytest.approx(6 * min(plain))


def test_the_report_is_written_into_the_studys_folder_and_says_what_it_does_not_know(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s", count=3, images=1, prompts=(EVIL, "a red circle", "a blue ring"))
    store = VoteStore(tmp_path / "s" / FILE, study)
    vote(study, store, [0.0] * 6, Panel())
    tokens = [*store.tokens(), str(store.access("admin")), str(store.access("join"))]
    store.close()
    result, report = results(tmp_path / "s", [lookup.get("jpeg_compressibility")], "cpu", lambda _: None)
    assert report.is_relative_to(tmp_path / "s") and not result.page.quick
    assert "jpeg_compressibility" in table(result, "rewards-kept").rows
    [facts] = [section for section in result.page.sections if isinstance(section, TextSection)]
    assert "what they were paid" in facts.paragraphs[-1]
    text = "".join(path.read_text() for path in report.iterdir() if path.suffix in {".html", ".json", ".md", ".csv"})
    assert not any(token in text for token in tokens) and "<script>alert" not in text


def test_an_unfinished_or_simulated_study_is_marked(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s", count=2, images=1)
    votes = votes_of(study, {(r, p): 1 for r in range(2) for p in range(2)})
    assert not analyse(study, votes, {}).page.quick
    unfinished = analyse(study, votes[:-1], {})
    assert unfinished.page.quick and "no result yet" in unfinished.page.intro
    simulated = analyse(study.model_copy(update={"simulated": True}), votes, {})
    assert simulated.page.quick and "simulated panel" in simulated.page.title


def test_scores_are_those_of_the_pictures_in_order(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s", count=2, images=1)
    scores = score_pictures(tmp_path / "s", study, [lookup.get("jpeg_compressibility")], "cpu", lambda _: None)
    assert len(scores["jpeg_compressibility"]) == 4
    assert score_pictures(tmp_path / "s", study, [], "cpu", lambda _: None) == {}


def test_the_true_difference_of_a_panel_is_what_many_raters_and_prompts_give() -> None:
    panel = Panel(taste=0.4, side=0.2, noise=1.0, indifference=0.5, lapses=0.05)
    gap = utility_gap(0.3, panel)
    assert win_minus_lose_of(gap, panel) == pytest.approx(0.3)
    study = sketch(20, 40, 2)
    values = [panel_result(study, gap, replace(panel, seed=seed)).value for seed in range(6)]
    assert np.mean(values) == pytest.approx(0.3, abs=3 * np.std(values) / np.sqrt(6) + 1e-9)


@pytest.mark.parametrize(
    ("panels", "fewest", "most"),
    [pytest.param(20, 16, 20, marks=pytest.mark.slow), pytest.param(200, 180, 196, marks=pytest.mark.long)],
)
def test_intervals_hold_the_panels_truth(panels: int, fewest: int, most: int) -> None:
    """Two methods, 45 prompts with 5 images, ten raters, all through the vote function of the web pages."""
    panel = Panel(side=0.2)
    study, gap, held = sketch(10, 45, 5), utility_gap(0.22, panel), 0
    for seed in range(panels):
        mean = panel_result(study, gap, replace(panel, seed=seed))
        held += abs(mean.value - 0.22) <= (mean.half_width(LEVEL) or 0)
    print(f"{held} of {panels} intervals hold the truth")
    assert fewest <= held <= most

"""Who wins a study: shares of votes with intervals and tests, bars, and Bradley-Terry strengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from benchbench.protocols.study_style import CLUSTERED, P_VALUES, Style, make_table
from benchbench.report.sections import OutcomeBar, OutcomeGroup, OutcomeSection
from benchbench.report.table import Cell, Table, make_cell
from benchbench.runtime.words import counted
from benchbench.stats.bradley_terry import strengths
from benchbench.stats.intervals import LEVEL
from benchbench.stats.multiple import holm
from benchbench.stats.signs import sign_test
from benchbench.stats.two_way import two_way_mean
from benchbench.study.design import Study
from benchbench.study.outcomes import Outcomes

SHARES = {"win": 1, "draw": 0, "lose": -1}
AGAINST = " against "  # between the names of two rows that were compared
COLUMNS = (*SHARES, "win - lose", *P_VALUES)


def outcome_tables(study: Study, votes: Outcomes, style: Style) -> list[Table]:
    """Returns a table for each question with a row for each two arms. Holm's correction is over all rows of all."""
    found = {(q, pair): part for q, pair, part in _parts(study, votes)}
    cells = {key: _outcome_cells(part) for key, part in found.items()}
    for key, corrected in zip(cells, holm([row["p"].value for row in cells.values()]), strict=True):
        cells[key]["p, Holm"] = Cell(value=corrected)
    tables = []
    for q, question in enumerate(study.questions):
        rows = {_name(study, pair): row for (asked, pair), row in cells.items() if asked == q}
        bad = int(sum(part.bad.sum() for (asked, _), part in found.items() if asked == q))
        caption = (
            f"Shares of votes that prefer the first row's picture, neither and the second one's; {style.raters}. "
            f"{CLUSTERED}; of shares Wilson's for as many independent votes. p: of win less lose being zero, corrected "
            f"by Holm over {counted(len(cells), 'comparison')}; sign tests count each prompt, or each rater, once."
        )
        if "bad" in study.buttons:
            caption += f" Draws include {bad} votes that both pictures are bad."
        tables.append(make_table(f"outcomes-{q + 1}-{style.word}", f"“{question}”", caption, rows, COLUMNS, style))
    return [table for table in tables if table.rows]


def study_answer(tables: Sequence[Table], unfinished: bool) -> str:
    """Returns who is preferred to whom under each question, by the tests that Holm's correction leaves significant.

    ``tables`` are those of ``outcome_tables`` for the raters that the rule keeps.
    """
    parts = []
    for table in tables:
        words, together = [], []
        for row in table.rows:
            first, _, second = row.partition(AGAINST)
            p, difference = table.cells[row]["p, Holm"].value, table.cells[row]["win - lose"].value
            better, worse = (first, second) if difference > 0 else (second, first)
            if p < 1 - LEVEL:
                words.append(f"{better} is preferred to {worse}")
            else:
                together.append(f"{first} and {second}")
        if len(together) > 1:
            others = f"the other {len(together)} pairs of rows are not told apart"
            words.append(others if words else f"none of the {len(together)} pairs of rows is told apart")
        elif together:
            words.append(f"{together[0]} are not told apart")
        parts.append(f"{table.title}: {'; '.join(words)}.")
    said = " ".join(parts) or "No two rows were compared."
    return f"The study is not finished. So far, {said[0].lower()}{said[1:]}" if unfinished else said


def _outcome_cells(part: Outcomes) -> dict[str, Cell]:
    clusters = part.rater, part.prompt
    row = {
        word: make_cell(two_way_mean((part.outcome == value).astype(float), *clusters).share())
        for word, value in SHARES.items()
    }
    difference = two_way_mean(part.outcome.astype(float), *clusters)
    row["win - lose"] = make_cell(difference.interval())
    row["p"] = row["p, Holm"] = Cell(value=difference.p)
    for word, groups in (("prompts", part.prompt), ("raters", part.rater)):
        row[f"p, sign test over {word}"] = Cell(value=sign_test(part.outcome.astype(float), groups).p)
    return row


def outcome_bars(study: Study, votes: Outcomes, style: Style) -> OutcomeSection:
    """Returns the section with a bar for each question and each two arms."""
    groups: dict[int, list[OutcomeBar]] = {}
    for q, pair, part in _parts(study, votes):
        rate = two_way_mean((1 + part.outcome) / 2, part.rater, part.prompt).share()
        counts = {word: int((part.outcome == value).sum()) for word, value in SHARES.items()}
        groups.setdefault(q, []).append(OutcomeBar(label=_name(study, pair), low=rate.low, high=rate.high, **counts))
    return OutcomeSection(
        title="Win, draw, lose",
        caption=f"Votes for the first row, draws and votes for the second one; {style.raters}. At the right the win "
        f"rate, in which a draw is half a win. {CLUSTERED}.",
        against="the second row",
        groups=tuple(OutcomeGroup(title=study.questions[q], bars=tuple(bars)) for q, bars in groups.items()),
    )


def strength_table(study: Study, votes: Outcomes, style: Style) -> Table | None:
    """Returns the Bradley-Terry strengths of more than two arms, a column for each question; None for fewer arms."""
    if len(study.arms) < 3:
        return None
    rows: dict[str, dict[str, Cell]] = {arm.label: {} for arm in study.arms}
    left_out = []
    for q, question in enumerate(study.questions):
        part = votes.of("pair", q)
        found = strengths(part.outcome, part.first, part.second, part.rater, part.prompt) if len(part) else None
        if found is None or len(found.values) < len(study.arms):
            left_out.append(question)
            continue
        for arm, value, half in zip(study.arms, found.values, found.half_widths, strict=True):
            counts = {"images": len(part), "prompts": len(np.unique(part.prompt))}
            rows[arm.label][question] = Cell(value=value, low=value - half, high=value + half, **counts)
    caption = (
        f"Log odds that sum to zero; a draw is half a win for each; {style.raters}. {CLUSTERED}, by the sandwich "
        "estimator."
    )
    if left_out:
        caption += f" Not finite, since some arms never win against the others: {', '.join(left_out)}."
    return make_table(f"strengths-{style.word}", "Bradley-Terry strengths", caption, rows, study.questions, style)


def _parts(study: Study, votes: Outcomes) -> Iterator[tuple[int, tuple[int, int], Outcomes]]:
    """Yields the votes on each question and each two arms that were compared; none where there is one arm."""
    for q in range(len(study.questions)):
        pairs = votes.of("pair", q)
        for first, second in sorted(set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))):
            if first != second:
                yield q, (first, second), pairs[(pairs.first == first) & (pairs.second == second)]


def _name(study: Study, pair: tuple[int, int]) -> str:
    return AGAINST.join(study.arms[arm].label for arm in pair)

"""Measures how far raters agree with each other and themselves, and which rewards agree with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchbench.protocols.study_style import CLUSTERED, Style, make_table
from benchbench.report.table import Cell, Table, make_cell
from benchbench.stats.agreement import alpha
from benchbench.stats.two_way import two_way_mean
from benchbench.study.design import Study
from benchbench.study.outcomes import Outcomes


def agreement_table(study: Study, votes: Outcomes, style: Style) -> Table:
    """Returns Krippendorff's alpha, and the shares of checks that were passed and of repeats that kept the answer."""
    columns = ("alpha, ordinal", "alpha, nominal", "checks passed", "repeats kept")
    rows: dict[str, dict[str, Cell]] = {}
    for q, question in enumerate(study.questions):
        pairs, checks, repeats = (votes.of(kind, q) for kind in ("pair", "check", "repeat"))
        row: dict[str, Cell] = {}
        for metric in ("ordinal", "nominal"):
            value = alpha(pairs.outcome + 1, pairs.number, 3, metric)
            if value is not None:
                row[f"alpha, {metric}"] = Cell(value=value, images=len(pairs))
        first = {(r, n): o for r, n, o in zip(pairs.rater, pairs.number, pairs.outcome, strict=True)}
        same = [first.get((r, n)) == o for r, n, o in zip(repeats.rater, repeats.number, repeats.outcome, strict=True)]
        for word, part, values in (
            ("checks passed", checks, checks.outcome == 1),
            ("repeats kept", repeats, np.array(same, bool)),
        ):
            if len(part):
                row[word] = make_cell(two_way_mean(values.astype(float), part.rater, part.prompt).share())
        rows[question] = row
    caption = (
        f"Krippendorff's alpha over pairs, of first, draw and second in this order (ordinal) and as three names "
        f"(nominal): 1 is agreement, 0 chance; {style.raters}. A check shows a picture beside its destroyed copy; a "
        f"repeat shows a pair again with sides swapped. {CLUSTERED}."
    )
    return make_table(f"agreement-{style.word}", "How far raters agree", caption, rows, columns, style)


def reward_agreement(
    study: Study, votes: Outcomes, scores: Mapping[str, Sequence[float]], style: Style
) -> Table | None:
    """Returns how often each reward prefers the picture that a vote prefers; ``scores`` are by reward and picture.

    A last row says the same of another rater's vote on the same pair. None where no vote prefers a picture.
    """
    rows: dict[str, dict[str, Cell]] = {name: {} for name in [*scores, "another rater"]}
    first = np.array([comparison.first for comparison in study.comparisons])
    second = np.array([comparison.second for comparison in study.comparisons])
    prefers = {
        name: np.sign(np.asarray(by_picture)[first] - np.asarray(by_picture)[second])
        for name, by_picture in scores.items()
    }
    for q, question in enumerate(study.questions):
        part = votes.of("pair", q)
        part = part[part.outcome != 0]
        agreeing = {name: (1 + sign[part.number] * part.outcome) / 2 for name, sign in prefers.items()}
        for name, shares in {**agreeing, "another rater": _other_raters(part)}.items():
            known = np.isfinite(shares)
            if known.any():
                mean = two_way_mean(shares[known], part.rater[known], part.prompt[known])
                rows[name][question] = make_cell(mean.share())
    rows = {name: row for name, row in rows.items() if row}
    if not rows:
        return None
    caption = (
        f"Share of the votes that prefer a picture which the reward, or another rater, shares; equal scores are half "
        f"a share, and chance is 0.5; {style.raters}. {CLUSTERED}. A reward whose share reaches another rater's would "
        "have replaced one rater."
    )
    return make_table(f"rewards-{style.word}", "Which rewards agree with people", caption, rows, study.questions, style)


def _other_raters(part: Outcomes) -> np.ndarray:
    """Returns, for each vote, the share of other raters' votes on its pair that agree; NaN where there is none."""
    _, pair = np.unique(part.number, return_inverse=True)
    votes = np.bincount(pair) if len(pair) else np.zeros(0)
    firsts = np.bincount(pair, weights=part.outcome == 1) if len(pair) else np.zeros(0)
    same = np.where(part.outcome == 1, firsts[pair], (votes - firsts)[pair]) - 1
    others = votes[pair] - 1
    shares: np.ndarray = np.divide(same, others, out=np.full(len(part), np.nan), where=others > 0)
    return shares

"""Votes as arrays for the analysis: which side of each pair was preferred, by whom, and on which prompt."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from benchbench.study.design import Study
from benchbench.study.progress import preferred
from benchbench.study.vote_store import StoredVote

KINDS = ("pair", "repeat", "check")


@dataclass(frozen=True)
class Outcomes:
    """N votes. ``outcome`` is 1 where the first picture is preferred, -1 for the second and 0 for a draw or both bad.

    All are int [N], and ``bad`` is bool [N]. ``number`` is that of the comparison, or of the check; ``prompt``
    counts the study's prompts.
    """

    rater: np.ndarray
    kind: np.ndarray
    number: np.ndarray
    question: np.ndarray
    prompt: np.ndarray
    first: np.ndarray
    second: np.ndarray
    """The arms of the two pictures; a check has the same arm twice."""
    outcome: np.ndarray
    bad: np.ndarray

    def __len__(self) -> int:
        return len(self.rater)

    def __getitem__(self, rows: np.ndarray) -> Outcomes:
        return Outcomes(**{name: values[rows] for name, values in vars(self).items()})

    def of(self, kind: str, question: int | None = None) -> Outcomes:
        """Returns the votes of one kind (``pair``, ``repeat``, ``check``), and on one question."""
        rows = self.kind == KINDS.index(kind)
        return self[rows if question is None else rows & (self.question == question)]


def outcomes(study: Study, votes: Iterable[StoredVote], excluded: Collection[int] = ()) -> Outcomes:
    """Returns the votes of all raters but the excluded ones."""
    rows = []
    for vote in votes:
        if vote.slot in excluded:
            continue
        item = study.assignment[vote.slot][vote.position]
        if item.kind == "check":
            pictures = [study.pictures[study.checks[item.number].picture]] * 2
        else:
            comparison = study.comparisons[item.number]
            pictures = [study.pictures[comparison.first], study.pictures[comparison.second]]
        arms = [picture.arm for picture in pictures]
        place = (vote.slot, KINDS.index(item.kind), item.number, vote.question, pictures[0].prompt)
        rows.append((*place, *arms, preferred(item, vote.answer), vote.answer == "bad"))
    columns = np.array(rows, dtype=int).reshape(-1, 9).T
    fields = dict(zip(Outcomes.__dataclass_fields__, columns, strict=True))
    return Outcomes(**{**fields, "bad": fields["bad"].astype(bool)})

"""Counts the votes of each rater, and the checks and repeats that came out as they should."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from benchbench.study.design import Item, Study
from benchbench.study.vote_store import StoredVote


class Row(NamedTuple):
    """One rater: votes of all that are asked for, checks passed of those answered, repeats kept of those answered."""

    slot: int
    votes: int
    wanted: int
    passed: int
    checks: int
    kept: int
    repeats: int
    minutes: float
    """The time that pages were shown, as far as it is known."""

    def excluded_by(self, study: Study) -> bool:
        """Returns whether the study's rule leaves this rater's votes out."""
        rule = study.exclusion
        return (self.checks > 0 and self.passed < rule.passed_checks * self.checks) or (
            self.repeats > 0 and self.kept < rule.kept_answers * self.repeats
        )


def progress_rows(study: Study, votes: Iterable[StoredVote]) -> list[Row]:
    """Returns a row for each rater, in order."""
    answers: dict[int, dict[tuple[Item, int], str]] = {slot: {} for slot in range(study.raters)}
    milliseconds: Counter[int] = Counter()
    for vote in votes:
        answers[vote.slot][study.assignment[vote.slot][vote.position], vote.question] = vote.answer
        milliseconds[vote.slot] += vote.milliseconds or 0
    return [_row(study, slot, answers[slot], milliseconds[slot] / 60_000) for slot in range(study.raters)]


def _row(study: Study, slot: int, answers: dict[tuple[Item, int], str], minutes: float) -> Row:
    pages = study.assignment[slot]
    first = {(item.number, question): preferred(item, answer) for (item, question), answer in answers.items()
             if item.kind == "pair"}  # fmt: skip
    checks = [preferred(item, answer) for (item, _), answer in answers.items() if item.kind == "check"]
    kept = [
        preferred(item, answer) == first[item.number, question]
        for (item, question), answer in answers.items()
        if item.kind == "repeat" and (item.number, question) in first
    ]
    wanted = len(pages) * len(study.questions)
    return Row(slot, len(answers), wanted, checks.count(1), len(checks), sum(kept), len(kept), minutes)


def preferred(item: Item, answer: str) -> int:
    """Returns 1 where the first picture of a page is preferred, -1 for the second, and 0 for a draw or both bad."""
    side = {"left": 1, "right": -1}.get(answer, 0)
    return -side if item.swapped else side

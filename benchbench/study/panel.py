"""Simulated raters, for planning and for tests: they have tastes, sides, noise and lapses, and some click at random.

A rater prefers the picture with the larger utility. To the difference of the two utilities come the rater's leaning
to an arm, the leaning to the left side, and noise; a difference within ``indifference`` is a draw. Every answer is a
function of the panel's seed, the rater, the page and the question, so that a panel can go on after an interruption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from benchbench.noise import hash64
from benchbench.study.design import Study
from benchbench.study.vote_store import Place, VoteStore

DESTROYED = 10.0
"""A destroyed picture has so much less utility than the worst one."""


@dataclass(frozen=True)
class Panel:
    """Standard deviations over raters of their leanings, and of the noise of a judgement, in the unit of utilities."""

    taste: float = 0.4
    """The deviation of a rater's leaning to an arm against another one."""
    side: float = 0.1
    """The deviation of a rater's leaning to the left picture."""
    noise: float = 1.0
    indifference: float = 0.5
    """A smaller difference is a draw, where the study has draws."""
    lapses: float = 0.02
    """The share of questions that are answered at random."""
    clickers: int = 0
    """The number of raters, the last ones, who answer every question at random."""
    seed: int = 0

    def answer(self, study: Study, utilities: Sequence[float], slot: int, place: Place) -> str:
        """Returns the answer to a question; ``utilities`` are those of the study's pictures."""
        draw = np.random.default_rng(hash64(self.seed, "answer", slot, *place))
        if slot >= study.raters - self.clickers or draw.random() < self.lapses:
            return study.buttons[int(draw.integers(len(study.buttons)))]
        item = study.assignment[slot][place.position]
        difference = self._difference(study, utilities, slot, place) * (-1 if item.swapped else 1)
        difference += self.side * _leaning(self.seed, slot, "left") + self.noise * draw.normal()
        if abs(difference) < self.indifference and "draw" in study.buttons:
            return "draw"
        return "left" if difference > 0 else "right"

    def _difference(self, study: Study, utilities: Sequence[float], slot: int, place: Place) -> float:
        """Returns the utility of a page's first picture less that of the second one, to this rater."""
        item = study.assignment[slot][place.position]
        if item.kind == "check":
            return utilities[study.checks[item.number].picture] - min(utilities) + DESTROYED
        comparison = study.comparisons[item.number]
        arms = [study.pictures[number].arm for number in (comparison.first, comparison.second)]
        taste = 0.0 if arms[0] == arms[1] else self.taste * _leaning(self.seed, slot, *arms)
        return utilities[comparison.first] - utilities[comparison.second] + taste


@cache
def _leaning(seed: int, slot: int, *words: str | int) -> float:
    """Returns a rater's leaning, standard normal."""
    return float(np.random.default_rng(hash64(seed, "leaning", slot, *words)).normal())


def vote(study: Study, votes: VoteStore, utilities: Sequence[float], panel: Panel) -> None:
    """Casts all votes of a panel, by the function that the web pages call. Raises RunError (a full disk)."""
    for slot in range(study.raters):
        votes.agree(slot)
        while (place := votes.place(slot)) is not None:
            votes.cast(slot, place, panel.answer(study, utilities, slot, place))

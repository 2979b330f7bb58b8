"""The questions, raters and repeats of a study. Imports nothing that is slow to load: a wrong word is told at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchbench.study.design import CONSENT, STANDARD_RULE, Answers, Exclusion


@dataclass(frozen=True)
class Request:
    """The questions of a study, and its raters. ``rows`` maps a label to a run, an adapter or ``base``.

    ``against`` names rows: only pairs with one of them are compared; empty means every two rows. Without
    ``votes_per_pair`` every rater sees every pair. ``repeats`` and ``checks`` are for each rater; None: one for 15
    pairs, at least four.
    """

    rows: Mapping[str, str]
    questions: Sequence[str]
    raters: int
    images_per_prompt: int
    against: Sequence[str] = ()
    answers: Answers = "win-draw-lose"
    votes_per_pair: int | None = None
    repeats: int | None = None
    checks: int | None = None
    eval_seeds: Sequence[int] = (0,)
    seed: int = 0
    shared_start: bool = False
    consent: str = CONSENT
    exclusion: Exclusion = STANDARD_RULE

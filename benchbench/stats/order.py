"""Tests each two rows of a table against each other, paired, corrects for all of these tests, and compares orders."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from benchbench.stats.intervals import LEVEL
from benchbench.stats.multiple import corrected_verdicts
from benchbench.stats.paired import difference
from benchbench.stats.trainings import FEWEST_TRAININGS


@dataclass(frozen=True)
class Contrasts:
    """Pairs of rows, the better one first, by whether they are told apart; ``tests`` is the number of tests.

    ``fewest`` is the smallest number of trainings of a pair of which a row was trained; below ``FEWEST_TRAININGS`` no
    pair has a verdict.
    ``dropped`` lists training seeds that one row of a pair lacks.
    """

    apart: tuple[tuple[str, str], ...]
    together: tuple[tuple[str, str], ...]
    tests: int
    fewest: int
    dropped: tuple[int, ...]

    @property
    def decided(self) -> bool:
        """True where every pair has enough trainings for a verdict."""
        return self.fewest >= FEWEST_TRAININGS


def contrasts(frames: Mapping[str, pd.DataFrame], untrained: Collection[str] = (), level: float = LEVEL) -> Contrasts:
    """Returns the paired tests of each two rows; ``frames`` has the score rows of one reward by row label.

    ``untrained`` names rows without trainings, such as the base model: they serve every training of the other row. Two
    of them are told apart by prompts alone.
    Errors: UsageError where two rows were not sampled alike.
    """
    pairs = {}
    for first, second in combinations(frames, 2):
        one, other = (second, first) if first in untrained else (first, second)
        found = difference(
            frames[one], frames[other], level, by_seed=other not in untrained, trained=one not in untrained
        )
        better = (one, other) if found.raw.value > 0 else (other, one)
        pairs[better] = found
    verdicts = corrected_verdicts(pairs, level)
    apart = tuple(pair for pair, verdict in verdicts.items() if verdict.significant)
    return Contrasts(
        apart=apart,
        together=tuple(pair for pair in pairs if pair not in apart),
        tests=max((verdict.tests for verdict in verdicts.values()), default=0),
        fewest=min((found.raw.seeds for found in pairs.values() if found.trained), default=FEWEST_TRAININGS),
        dropped=tuple(sorted({seed for found in pairs.values() for seed in found.dropped})),
    )


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float:
    """Returns Kendall's tau-b of two lists of numbers: 1 for one order, -1 for the reverse; NaN where one is constant.

    It counts pairs: (concordant - discordant) / sqrt(pairs not tied in the first x pairs not tied in the second).
    """
    pairs = list(combinations(zip(first, second, strict=True), 2))
    signs = [((a > b) - (a < b), (c > d) - (c < d)) for (a, c), (b, d) in pairs]
    untied = [sum(bool(sign[side]) for sign in signs) for side in (0, 1)]
    return sum(one * other for one, other in signs) / math.sqrt(untied[0] * untied[1]) if all(untied) else math.nan

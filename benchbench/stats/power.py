"""Computes how many trainings a row needs to tell a true difference of half a standard deviation apart.

The question is answered for the test of stats/two_level.py itself, by drawing experiments of each size. The variances
of seeds, prompts and single cells come from the analysis of variance of the differences that were measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchbench.stats.matrix import ScoreMatrix
from benchbench.stats.paired import Difference
from benchbench.stats.trainings import FEWEST_TRAININGS, MOST_TRAININGS
from benchbench.stats.two_level import half_width

EFFECT = 0.5  # in standard deviations of the base over its images
POWER = 0.8
DRAWS = 4000


class Components(NamedTuple):
    """Variances of a difference: between training seeds, between prompts, and of a single cell."""

    seed: float
    prompt: float
    cell: float


def components(matrices: Sequence[ScoreMatrix]) -> Components | None:
    """Returns the variances of differences, pooled over the rows of one reward; None without two trainings of a row.

    ``matrices`` hold the difference of each training seed and prompt. Estimates by analysis of variance; negative ones
    count as 0. Rows are weighted by their degrees of freedom.
    """
    squares, freedoms = np.zeros(3), np.zeros(3)
    sizes = []
    for matrix in matrices:
        cells = matrix.means
        seeds, prompts = cells.shape
        if seeds < 2:
            continue
        by_seed, by_prompt = cells.mean(1, keepdims=True), cells.mean(0, keepdims=True)
        rest = cells - by_seed - by_prompt + cells.mean()
        freedoms += [seeds - 1, prompts - 1, (seeds - 1) * (prompts - 1)]
        squares += [
            prompts * float(((by_seed - cells.mean()) ** 2).sum()),
            seeds * float(((by_prompt - cells.mean()) ** 2).sum()),
            float((rest**2).sum()),
        ]
        sizes.append((seeds, prompts))
    if not sizes:
        return None
    mean_squares = squares / np.maximum(freedoms, 1)
    seeds, prompts = (float(np.mean([size[level] for size in sizes])) for level in (0, 1))
    seed, prompt = (mean_squares[0] - mean_squares[2]) / prompts, (mean_squares[1] - mean_squares[2]) / seeds
    return Components(max(float(seed), 0.0), max(float(prompt), 0.0), float(mean_squares[2]))


def trainings_needed(differences: Sequence[Difference], tests: int, level: float) -> int | None:
    """Returns the number of trainings at which a true difference of ``EFFECT`` is significant in 80 of 100 tables.

    ``differences`` are those of one reward; ``tests`` is the number of tests in their family, whose strictest level of
    Holm's correction is used. ``MOST_TRAININGS`` + 1 means that no number up to ``MOST_TRAININGS`` is enough.
    None where no row has two trainings, or the base does not vary.
    """
    found = components([difference.cells for difference in differences])
    deviations = [difference.base_deviation for difference in differences if difference.base_deviation > 0]
    if found is None or not deviations:
        return None
    prompts = differences[0].raw.prompts
    alpha = (1 - level) / max(tests, 1)
    for seeds in range(FEWEST_TRAININGS, MOST_TRAININGS + 1):
        if power(EFFECT * deviations[0], found, seeds, prompts, alpha) >= POWER:
            return seeds
    return MOST_TRAININGS + 1


def smallest_effect(variances: Components, seeds: int, prompts: int, alpha: float) -> float:
    """Returns the effect that the test at ``alpha`` finds in 80 of 100 experiments, in the unit of the variances' root.

    It is the quantile of drawn experiments: of each, the effect from which on its interval excludes zero.
    """
    mean, width = _draws(variances, seeds, prompts, alpha)
    return float(np.quantile(width - mean, POWER))


def power(effect: float, variances: Components, seeds: int, prompts: int, alpha: float) -> float:
    """Returns the fraction of drawn experiments in which the test at ``alpha`` finds ``effect`` with its sign.

    Scores are normal, so the mean, the spread of the seed means and that of the prompt means are independent and are
    drawn directly. The random seed is fixed.
    """
    mean, width = _draws(variances, seeds, prompts, alpha)
    return float(np.mean(effect + mean > width))


def _draws(variances: Components, seeds: int, prompts: int, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns the means of ``DRAWS`` experiments without an effect, and the half widths of their intervals."""
    rng = np.random.default_rng(0)
    image = variances.cell / (seeds * prompts)
    spread = np.sqrt(variances.seed / seeds + variances.prompt / prompts + image)
    mean = rng.standard_normal(DRAWS) * spread
    by_seed = (variances.seed / seeds + image) * _relative_variance(rng, seeds)
    by_prompt = (variances.prompt / prompts + image) * _relative_variance(rng, prompts)
    return mean, np.asarray(half_width(alpha, by_seed, by_prompt, seeds, prompts))


def _relative_variance(rng: np.random.Generator, n: int) -> np.ndarray:
    """Returns ``DRAWS`` estimates of a variance of 1 from n normal values; zeros for n = 1."""
    return rng.chisquare(n - 1, DRAWS) / (n - 1) if n > 1 else np.zeros(DRAWS)

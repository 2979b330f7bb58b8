"""Bradley-Terry strengths of several arms from votes on pairs, with intervals clustered by rater and prompt.

P(a beats b) = 1 / (1 + exp(s_b - s_a)), and the strengths sum to zero. A draw counts as half a win for each. The
likelihood equations are solved by Newton's method. To first order the error of the strengths is the sum over votes of
H^-1 times a vote's score; the variance of this sum is clustered in two ways (stats/two_way.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchbench.stats.intervals import LEVEL
from benchbench.stats.quantiles import t_quantile
from benchbench.stats.two_way import two_way_variance

STEPS = 50


@dataclass(frozen=True)
class Strengths:
    """Strengths [A] in log odds, which sum to zero, with the half widths [A] of their intervals."""

    values: np.ndarray
    half_widths: np.ndarray


def strengths(
    outcomes: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    raters: np.ndarray,
    prompts: np.ndarray,
    level: float = LEVEL,
) -> Strengths | None:
    """Returns the strengths of A arms from N votes: ``outcomes`` 1 (first wins), 0 or -1, arms ``first``, ``second``.

    None where they are not finite: some group of arms never wins or draws against the others (Ford, American
    Mathematical Monthly 64, 1957), or there is one rater and one prompt.
    """
    from scipy.sparse.csgraph import connected_components  # slow to load; only the tables of studies need it

    arms = int(max(first.max(), second.max())) + 1
    share = (1 + outcomes) / 2
    beats = np.zeros((arms, arms))
    np.add.at(beats, (first, second), share)
    np.add.at(beats, (second, first), 1 - share)
    clusters = min((n for n in (len(np.unique(raters)), len(np.unique(prompts))) if n > 1), default=1)
    if connected_components(beats > 0, connection="strong")[0] > 1 or clusters < 2:
        return None
    design = np.zeros((len(outcomes), arms))
    rows = np.arange(len(outcomes))
    design[rows, first], design[rows, second] = 1, -1
    values: np.ndarray = np.zeros(arms)
    inverse: np.ndarray = np.zeros((arms, arms))
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-design @ values))
        # ones make the matrix regular; a gradient whose sum is zero then gives a step whose sum is zero
        inverse = np.linalg.inv(design.T @ (design * (chance * (1 - chance))[:, None]) + 1)
        step = inverse @ (design.T @ (share - chance))
        values = values + step
        if np.abs(step).max() < 1e-10:
            break
    chance = 1 / (1 + np.exp(-design @ values))
    influences = design * (share - chance)[:, None] @ inverse
    variances = np.array([two_way_variance(influence, raters, prompts) for influence in influences.T])
    quantile = t_quantile((1 + level) / 2, clusters - 1)
    return Strengths(values, quantile * np.sqrt(variances))

"""Is a mean paired difference zero? A p-value, two-sided, from differences by training seed and prompt.

* One training seed: sign flips over prompts. If the two rows do not differ, a prompt's difference is as likely to have
  either sign; p is the share of all sign patterns (a random 9,999 of them where there are more) whose mean lies at
  least as far from zero. Exact: it needs no normal distribution.
* Several training seeds: t = mean / sqrt(V) with the variance and degrees of freedom of the two-level interval
  (stats/intervals.py), so that p < 0.05 exactly where the 95 % interval leaves zero out. Flipping the signs of seeds
  cannot do it: S seeds have 2^S patterns, so that no p below 2/2^S exists, which is 0.25 for three seeds.
  Flipping prompts alone takes the trainings as given and errs where they differ: with three seeds whose means vary as
  much as single scores do, it calls 72 of 100 null differences significant at 5 %, the t-test 6 (a test measures both).
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from benchbench.stats.cells import Cells
from benchbench.stats.intervals import variance

FLIPS = 9999


def p_value(table: Cells) -> float:
    """The p-value of cells of differences; 1 for one prompt and one training seed."""
    if table.sums.shape[0] == 1:
        return sign_flips(table.means[0])
    spread, freedom = variance(table)
    value = float(table.sums.sum() / table.counts.sum())
    if spread == 0:
        return 1.0 if value == 0 else 0.0
    return float(2 * stats.t.sf(abs(value) / np.sqrt(spread), freedom))


def sign_flips(differences: np.ndarray) -> float:
    """The two-sided p-value of differences [P], one a prompt; always the same number for the same differences."""
    size = float(np.abs(differences).mean())
    if len(differences) == 1 or size == 0:
        return 1.0
    result = stats.permutation_test(
        (differences,),
        # rounded, so that patterns that tie count as ties in whatever order the prompts were added up
        lambda d, axis: np.round(np.abs(d.mean(axis)) / size, 10),
        permutation_type="samples",
        alternative="greater",
        vectorized=True,
        n_resamples=FLIPS,
        batch=1000,  # bounds the memory at 8 kB a prompt
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)

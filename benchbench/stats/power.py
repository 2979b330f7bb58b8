"""The minimum detectable effect: how large a difference would have had to be for this many prompts to show it."""

from __future__ import annotations

from scipy import optimize, stats

POWER = 0.8


def detectable(error: float | None, freedom: float, alpha: float, power: float = POWER) -> float | None:
    """The true difference that a two-sided t-test at ``alpha`` finds with this power, in the unit of ``error``.

    ``error`` is the standard error of the difference; None where it is not known or zero. Power is that of the
    noncentral t distribution; the chance to be significant with the wrong sign is left out.
    """
    if not error:
        return None
    critical = float(stats.t.ppf(1 - alpha / 2, freedom))
    # the noncentrality lies above the critical value less, and below it plus, a few standard errors
    found = optimize.brentq(
        lambda shift: float(stats.nct.sf(critical, freedom, shift)) - power, 1e-6, 3 * critical + 10
    )
    return float(found) * error

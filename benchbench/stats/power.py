"""The minimum detectable effect: the smallest true difference that a test would probably have found."""

from __future__ import annotations

from scipy import optimize, stats

POWER = 0.8


def detectable_effect(
    standard_error: float | None, degrees_of_freedom: float, alpha: float, power: float = POWER
) -> float | None:
    """Returns the true difference that a two-sided t-test at ``alpha`` finds with this power, in the reward's unit.

    ``standard_error`` is that of the difference; the result is None where it is None or zero. Power is computed from
    the noncentral t distribution, without the chance of being significant with the wrong sign.
    """
    if not standard_error:
        return None
    critical = float(stats.t.ppf(1 - alpha / 2, degrees_of_freedom))
    # the noncentrality lies within a few standard errors of the critical value
    noncentrality = optimize.brentq(
        lambda shift: float(stats.nct.sf(critical, degrees_of_freedom, shift)) - power, 1e-6, 3 * critical + 10
    )
    return float(noncentrality) * standard_error

"""Quantiles and tails of the normal distribution and of Student's t.

They are those of ``scipy.stats``, to the bit, from the functions of ``scipy.special`` that it calls: ``scipy.stats``
itself takes most of a second to load.
"""

from __future__ import annotations

from scipy import special


def normal_quantile(p: float) -> float:
    """Returns the value below which a standard normal number lies with probability p."""
    return float(special.ndtri(p))


def t_quantile(p: float, degrees: float) -> float:
    """Returns the value below which Student's t of so many degrees of freedom lies with probability p."""
    return float(special.stdtrit(degrees, p))


def t_tail(value: float, degrees: float) -> float:
    """Returns the probability that Student's t of so many degrees of freedom is larger than a value."""
    return float(special.stdtr(degrees, -value))

"""Krippendorff's alpha against values worked out by hand, and the example that Krippendorff works out."""

from __future__ import annotations

import numpy as np
import pytest

from benchbench.stats.agreement import alpha, coincidences


def test_two_raters_by_hand() -> None:
    """Units (0,0), (1,1), (0,1), (0,0): coincidences 4, 1, 1, 2 of 8, five 0s and three 1s.

    Observed disagreement 2; expected 2 * 5 * 3 / 7; alpha = 1 - 2 * 7 / 30 = 8/15.
    """
    values, units = np.array([0, 0, 1, 1, 0, 1, 0, 0]), np.array([0, 0, 1, 1, 2, 2, 3, 3])
    assert coincidences(values, units, 2).tolist() == [[4, 1], [1, 2]]
    assert alpha(values, units, 2, "nominal") == pytest.approx(8 / 15)
    # with two values every difference is between neighbours, so the ordinal alpha is the same
    assert alpha(values, units, 2, "ordinal") == pytest.approx(8 / 15)


def test_ordinal_distances_by_hand() -> None:
    """Units (0,1), (0,2), (2,2): o[0,1] = o[0,2] = 1, o[2,2] = 2; totals 2, 1, 3 of 6.

    Ranks in the middle of each value: 1, 2.5, 4.5; squared distances 01: 2.25, 02: 12.25, 12: 4. Observed
    2 * (2.25 + 12.25) = 29; expected 2 * (2 * 2.25 + 6 * 12.25 + 3 * 4) / 5 = 36.
    """
    values, units = np.array([0, 1, 0, 2, 2, 2]), np.array([0, 0, 1, 1, 2, 2])
    assert alpha(values, units, 3, "ordinal") == pytest.approx(1 - 29 / 36)
    # nominal: observed 4, expected 2 * (2 + 6 + 3) / 5
    assert alpha(values, units, 3, "nominal") == pytest.approx(1 - 4 / 4.4)


def test_krippendorffs_own_example_with_missing_values() -> None:
    """Four observers and twelve units, as his paper on computing alpha prints them: 0.743 nominal, 0.815 ordinal."""
    text = [
        "1 2 3 3 2 1 4 1 2 . . .",
        "1 2 3 3 2 2 4 1 2 5 . 3",
        ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    ]
    cells = [(int(v) - 1, unit) for row in text for unit, v in enumerate(row.split()) if v != "."]
    values, units = (np.array(column) for column in zip(*cells, strict=True))
    assert alpha(values, units, 5, "nominal") == pytest.approx(0.743, abs=5e-4)
    assert alpha(values, units, 5, "ordinal") == pytest.approx(0.815, abs=5e-4)


def test_nothing_to_compare_has_no_alpha() -> None:
    assert alpha(np.array([0, 1]), np.array([0, 1]), 2, "nominal") is None
    assert alpha(np.array([1, 1]), np.array([0, 0]), 3, "ordinal") is None
    assert alpha(np.zeros(0, int), np.zeros(0, int), 3, "ordinal") is None

"""The statistics keep their promises at the levels that tables use: false positives of a family, and coverage.

A family of 48 tests errs where its smallest p lies below 0.05 / 48, which is Holm's first step.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from tests.stats.simulated import between_rows, coverage, false_positives, tables

FAMILY = 48


@pytest.mark.parametrize(("seeds", "deviation"), [(5, 0.06), (5, 0.4), (10, 0.2)])
def test_a_family_errs_in_at_most_one_table_of_twenty(seeds: int, deviation: float) -> None:
    """200 tables: at a true rate of 0.05 the share has a standard error of 0.015; the rate is far below."""
    drawn = tables(np.random.default_rng(seeds), 200, FAMILY, seeds, 45, 5, deviation)
    assert false_positives(drawn, 0.05 / FAMILY) <= 0.05


@pytest.mark.long
@pytest.mark.parametrize("deviation", [0.0, 0.06, 0.2, 0.4, 1.0])
@pytest.mark.parametrize(("seeds", "prompts", "images"), [(5, 45, 5), (10, 45, 5), (5, 500, 1), (10, 12, 2)])
def test_a_family_errs_rarely_whatever_varies(seeds: int, prompts: int, images: int, deviation: float) -> None:
    """2,000 tables; the share is printed, since far below 0.05 is no failure."""
    drawn = tables(np.random.default_rng(0), 2000 if prompts < 100 else 400, FAMILY, seeds, prompts, images, deviation)
    share = false_positives(drawn, 0.05 / FAMILY)
    print(f"false stars: {seeds} seeds, {prompts} prompts x {images}, seed SD {deviation}: {share:.4f} of tables")
    assert share <= 0.05


@pytest.mark.parametrize(("rows", "seeds", "deviation"), [(4, 5, 0.06), (6, 5, 0.4), (6, 10, 0.2)])
def test_letters_part_equal_rows_in_at_most_one_table_of_twenty(rows: int, seeds: int, deviation: float) -> None:
    """2,000 tables of rows without a difference, all pairs tested: Holm's first step decides whether any is apart."""
    drawn = tables(np.random.default_rng(seeds), 2000, rows, seeds, 45, 5, deviation)
    pairs = rows * (rows - 1) // 2
    share = false_positives(between_rows(drawn), 0.05 / pairs)
    print(f"false letters: {rows} rows, {seeds} seeds, seed SD {deviation}: {share:.4f} of tables")
    assert share <= 0.05


@pytest.mark.parametrize("alpha", [0.05, 0.05 / FAMILY])
@pytest.mark.parametrize(("seeds", "deviation"), [(1, 0.0), (2, 0.2), (3, 0.06), (5, 0.4), (10, 1.0)])
def test_intervals_cover_what_they_promise(seeds: int, deviation: float, alpha: float) -> None:
    """9,600 intervals, four standard errors: coverage at least 0.94 at 95 %.

    More than promised is no failure: image noise counts twice.
    """
    drawn = tables(np.random.default_rng(seeds), 200, FAMILY, seeds, 45, 5, deviation)
    covered = coverage(drawn, alpha)
    print(f"coverage at {1 - alpha:.4f}: {seeds} seeds, seed SD {deviation}: {covered:.4f}")
    assert 1 - covered <= alpha + 4 * sqrt(alpha / 9600)


def test_one_training_says_nothing_of_another() -> None:
    """One training gets no star: where trainings differ by 0.4 SD, its interval often misses the method's value."""
    drawn = tables(np.random.default_rng(0), 100, FAMILY, 1, 45, 5, 0.4)
    assert coverage(drawn, 0.05) < 0.6

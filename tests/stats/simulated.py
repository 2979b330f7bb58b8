"""Whole tables drawn by chance, for the tests of what the statistics promise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchbench.stats.two_level import half_width

AT_ONCE = 20  # tables in memory


def tables(
    rng: np.random.Generator, count: int, rows: int, seeds: int, prompts: int, images: int, seed_deviation: float
) -> Iterator[np.ndarray]:
    """Yields differences to a common base where no row differs from it, float64 [tables, rows, seeds, prompts].

    In standard deviations of an image. Trainings deviate by ``seed_deviation``; a row likes some prompts more than
    others (0.3); every image has its own noise, and the base's is common to all rows.
    """
    for start in range(0, count, AT_ONCE):
        n = min(AT_ONCE, count - start)
        yield (
            seed_deviation * rng.standard_normal((n, rows, seeds, 1))
            + 0.3 * rng.standard_normal((n, rows, 1, prompts))
            + rng.standard_normal((n, rows, seeds, prompts)) / np.sqrt(images)
            - rng.standard_normal((n, 1, 1, prompts)) / np.sqrt(images)
        )


def false_positives(differences: Iterator[np.ndarray], alpha: float) -> float:
    """Returns the share of tables in which some row is told apart from the base at ``alpha``."""
    found = [np.any(_apart(drawn, alpha), axis=1) for drawn in differences]
    return float(np.concatenate(found).mean())


def coverage(differences: Iterator[np.ndarray], alpha: float) -> float:
    """Returns the share of intervals that hold the true difference, which is zero."""
    return float(1 - np.concatenate([_apart(drawn, alpha).ravel() for drawn in differences]).mean())


def _apart(drawn: np.ndarray, alpha: float) -> np.ndarray:
    seeds, prompts = drawn.shape[2:]
    by_seed = drawn.mean(3).var(2, ddof=1) / seeds if seeds > 1 else np.zeros(drawn.shape[:2])
    by_prompt = drawn.mean(2).var(2, ddof=1) / prompts
    apart: np.ndarray = np.abs(drawn.mean((2, 3))) > half_width(alpha, by_seed, by_prompt, seeds, prompts)
    return apart


def between_rows(differences: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Yields the differences of each two rows, [tables, pairs, seeds, prompts], of differences to a common base."""
    for drawn in differences:
        first, second = np.triu_indices(drawn.shape[1], 1)
        yield drawn[:, first] - drawn[:, second]

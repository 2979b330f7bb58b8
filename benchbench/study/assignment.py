"""Who sees which pairs, in which order and on which sides; where repeats and attention checks are placed.

Every draw is a function of the study's seed, the rater and the pair, so that the assignment can be made again.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchbench.noise import Noise
from benchbench.study.design import Item


def assign(
    pairs: int, raters: int, votes_per_pair: int, repeats: int, checks: int, noise: Noise
) -> tuple[tuple[Item, ...], ...]:
    """Returns the pages of each rater: every pair goes to ``votes_per_pair`` raters, and loads differ by one at most.

    A rater also gets ``repeats`` earlier pairs again with sides swapped, and ``checks`` attention checks.
    """
    numbers = _spread(pairs, raters, votes_per_pair, noise)
    return tuple(_pages(rater, numbers[rater], repeats, checks, noise) for rater in range(raters))


def standard_count(pairs: int) -> int:
    """Returns how many repeats, or checks, a rater with so many pairs gets: one for 15, and at least four."""
    return max(4, round(pairs / 15))


def _spread(pairs: int, raters: int, votes_per_pair: int, noise: Noise) -> list[list[int]]:
    """Returns the pairs of each rater. A pair goes to the raters with the fewest pairs so far, drawn among equals."""
    numbers: list[list[int]] = [[] for _ in range(raters)]
    for pair in _shuffled(range(pairs), noise, "pairs"):
        fewest = sorted(range(raters), key=lambda rater: (len(numbers[rater]), noise.integer(2**62, "to", pair, rater)))
        for rater in fewest[:votes_per_pair]:
            numbers[rater].append(pair)
    return numbers


def _pages(rater: int, pairs: Sequence[int], repeats: int, checks: int, noise: Noise) -> tuple[Item, ...]:
    """Returns one rater's pages. A repeat is of a pair in the first half and lies in the second half."""
    order = _shuffled(pairs, noise, "order", rater)
    pages = [Item("pair", pair, _coin(noise, "side", rater, pair)) for pair in order]
    half = len(pages) // 2
    for pair in _shuffled(order[:half], noise, "repeats", rater)[:repeats]:
        again = Item("repeat", pair, not _coin(noise, "side", rater, pair))
        pages.insert(half + 1 + noise.integer(len(pages) - half, "repeat at", rater, pair), again)
    for check in range(checks):
        page = Item("check", check, _coin(noise, "check", rater, check))
        pages.insert(noise.integer(len(pages) + 1, "check at", rater, check), page)
    return tuple(pages)


def _shuffled(numbers: Sequence[int], noise: Noise, *words: str | int) -> list[int]:
    return sorted(numbers, key=lambda number: noise.integer(2**62, *words, number))


def _coin(noise: Noise, *words: str | int) -> bool:
    return noise.integer(2, *words) == 1

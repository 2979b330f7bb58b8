"""Letters of ties: rows that share a letter are not told apart.

The algorithm is insert-and-absorb (Piepho, Journal of Computational and Graphical Statistics 13, 2004).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from string import ascii_lowercase


def letters(rows: Sequence[str], apart: Collection[tuple[str, str]]) -> dict[str, str]:
    """Returns the letters of each row: two rows share one exactly where no pair of ``apart`` names them, in any order.

    ``rows`` come best first, so that the best row has an a. After z comes a1.
    """
    groups = [frozenset(rows)]
    for pair in apart:
        both = [group for group in groups if set(pair) <= group]
        others = [group for group in groups if group not in both]
        groups = _largest([*others, *(group - {row} for group in both for row in pair)])
    place = {row: i for i, row in enumerate(rows)}
    ordered = sorted(groups, key=lambda group: sorted(place[row] for row in group))
    names = [ascii_lowercase[i % 26] + (str(i // 26) if i >= 26 else "") for i in range(len(ordered))]
    return {row: "".join(name for name, group in zip(names, ordered, strict=True) if row in group) for row in rows}


def _largest(groups: Sequence[frozenset[str]]) -> list[frozenset[str]]:
    """Returns the groups that lie in no other one, each once."""
    distinct = list(dict.fromkeys(groups))
    return [group for group in distinct if not any(group < other for other in distinct)]

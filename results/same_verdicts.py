"""Compares the verdicts of two sweeps of the same rows that have other training seeds.

``python results/same_verdicts.py REPORT REPORT`` reads two reports of sweeps with ``stop``. A verdict on two rows is
which one has the higher F(.2), or that they are not told apart. It prints the share of pairs on which both reports have
the same verdict, and each pair on which they differ.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from benchbench.errors import BenchError, UsageError
from benchbench.reproduce.ranked import Ranked, read_report

TIED = "not told apart"


def verdicts(report: Ranked) -> dict[tuple[str, str], str]:
    """Returns the row ahead, or that there is none, for each two rows of a report. Errors: UsageError without tests."""
    if report.reward not in report.frontier.ahead:
        cause = "its rows have too few trainings for a verdict"
        raise UsageError(f"{report.frontier.name} tells no rows apart", cause, "train each row with five seeds or more")
    ahead = set(report.frontier.ahead[report.reward])
    return {
        (one, other): one if (one, other) in ahead else other if (other, one) in ahead else TIED
        for one, other in combinations(sorted(report.frontier.rows), 2)
    }


def compare(one: Ranked, other: Ranked) -> list[str]:
    """Returns the share of equal verdicts, and each pair of rows on which they differ, as lines.

    Errors: UsageError for reports of other rewards, prompts or rows, and for those that share a training seed.
    """
    _check_alike(one, other)
    first, second = verdicts(one), verdicts(other)
    pairs = list(first)
    differ = [pair for pair in pairs if first[pair] != second[pair]]
    turned = sum(TIED not in (first[pair], second[pair]) for pair in differ)
    lines = [
        f"{one.reward}: {len(pairs) - len(differ)} of {len(pairs)} pairs of rows have the same verdict; "
        f"{turned} have the opposite one"
    ]
    return lines + [f"  {a} and {b}: {_word(first[a, b])}; {_word(second[a, b])}" for a, b in differ]


def _check_alike(one: Ranked, other: Ranked) -> None:
    seeds = [
        {training["config"]["seed"] for of_row in report.trainings.values() for training in of_row}
        for report in (one, other)
    ]
    for what, same in {
        "rewards": one.reward == other.reward,
        "protocols": one.frontier.protocol == other.frontier.protocol,
        "rows": set(one.frontier.rows) == set(other.frontier.rows),
    }.items():
        if not same:
            raise UsageError("the reports cannot be compared", f"their {what} differ", "name two sweeps of one plan")
    if seeds[0] & seeds[1]:
        cause = f"they share the training seeds {', '.join(map(str, sorted(seeds[0] & seeds[1])))}"
        raise UsageError("the reports cannot be compared", cause, "train the second one with other seeds")


def _word(verdict: str) -> str:
    return verdict if verdict == TIED else f"{verdict} is ahead"


def main(words: Sequence[str]) -> int:
    """Prints the comparison of the two reports that are named. Returns the exit status."""
    try:
        if len(words) != 2:
            raise UsageError("two reports are compared", f"{len(words)} were named", "name the folders of two reports")
        print("\n".join(compare(*(read_report(Path(word)) for word in words))))
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

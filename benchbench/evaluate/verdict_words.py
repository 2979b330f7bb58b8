"""The sentences of a caption that say what the verdicts of a table mean, and what it takes to reach one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from benchbench.report.table import format_trainings
from benchbench.stats.multiple import Verdict
from benchbench.stats.paired import Difference
from benchbench.stats.trainings import FEWEST_TRAININGS

Key = TypeVar("Key")


def verdict_words(
    differences: Mapping[Key, Difference],
    verdicts: Mapping[Key, Verdict],
    needed: Mapping[str, int | None],
    level: float,
) -> str:
    """Returns the sentences, without the last full stop; empty for no differences.

    ``needed`` has the trainings that would probably show half a standard deviation, by reward.
    """
    sentences = []
    decided = [verdict for verdict in verdicts.values() if verdict.significant is not None]
    if decided:
        sentences += [
            f"*: told apart from zero at {1 - level:.0%}",
            f"The test is paired, over trainings and prompts{_correction(decided)}",
        ]
    few = sorted({differences[key].raw.seeds for key, verdict in verdicts.items() if verdict.significant is None})
    if few:
        sentences.append(describes(few))
        known = {reward: words for reward, number in needed.items() if (words := format_trainings(number))}
        if known:
            listed = "; ".join(f"{words} on {reward}" for reward, words in known.items())
            sentences.append(f"To show a difference of 0.5 SD in 80 of 100 tables it takes {listed}")
    return ". ".join(sentences)


def describes(trainings: list[int]) -> str:
    """Returns what a table of so few trainings describes; ``trainings`` lists the numbers that its rows have."""
    if trainings == [1]:
        return f"One training: describes this run, and says nothing of another; a verdict takes {FEWEST_TRAININGS}"
    numbers = " or ".join(map(str, trainings))
    return f"{numbers} trainings: describes these runs; a verdict takes {FEWEST_TRAININGS}"


def _correction(verdicts: list[Verdict]) -> str:
    tests = sorted({verdict.tests for verdict in verdicts})
    if tests == [1]:
        return ""
    numbers = " or ".join(map(str, tests))
    return f", after Holm's correction for the {numbers} different tests of a family (rewards, held-out rewards)"

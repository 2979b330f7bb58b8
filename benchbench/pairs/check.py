"""Reads every row of a set of pairs once, and says what is in it and which rows cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import mean, median

from benchbench.pairs.dataset import BadRow
from benchbench.pairs.files import PairFiles
from benchbench.runtime.progress import progress

NAMED = 1000  # bad rows that are kept by name; more are counted


@dataclass
class Findings:
    """``bad`` holds place and cause of the first ``NAMED`` of ``bad_count`` rows."""

    good: int = 0
    bad_count: int = 0
    bad: list[BadRow] = field(default_factory=list)
    captions: set[int] = field(default_factory=set)  # hashes
    words: list[int] = field(default_factory=list)
    sides: list[int] = field(default_factory=list)  # in pixels, the shortest and the longest so far

    def lines(self, pairs: PairFiles) -> list[str]:
        """The findings for people, bad rows not among them."""
        counts = pairs.counts
        said = [
            f"{counts['rows']} rows: {len(pairs)} pairs, {counts['ties']} ties and {counts['unlabelled']} without a "
            f"label left out, {counts['duplicates']} of a caption that was there before left out",
            f"{self.good} pairs can be used, {self.bad_count} cannot",
        ]
        if self.good:
            said.append(
                f"{len(self.captions)} different captions of {min(self.words)} to {max(self.words)} words "
                f"(mean {mean(self.words):.1f}, median {median(self.words):g})"
            )
            said.append(f"pictures with sides of {self.sides[0]} to {self.sides[-1]} pixels")
        return [*said, f"content hash {pairs.hash}"]


def check(pairs: PairFiles, say_bad: Callable[[BadRow], None]) -> Findings:
    """Decodes every picture; ``say_bad`` hears of each bad row when it is met."""
    found = Findings()
    with progress(len(pairs), f"checking {pairs.name}", "pairs") as bar:
        for i in range(len(pairs)):
            try:
                raw = pairs[i]
            except BadRow as bad:
                found.bad_count += 1
                if len(found.bad) < NAMED:
                    found.bad.append(bad)
                    say_bad(bad)
            else:
                found.good += 1
                found.captions.add(hash(raw.caption))
                found.words.append(len(raw.caption.split()))
                sides = [*found.sides, *raw.winner.size, *raw.loser.size]
                found.sides = [min(sides), max(sides)]
            bar.advance(1, f"{found.bad_count} bad" if found.bad_count else "")
    return found

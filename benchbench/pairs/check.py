"""Reads every pair of a set once, summarises the set and lists the rows that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import mean, median

from benchbench.pairs.dataset import EMPTY_CAPTION, BadRow
from benchbench.pairs.files import PairFiles
from benchbench.runtime.progress import progress

MAX_LISTED = 1000  # bad rows that are listed; further ones are only counted


@dataclass
class PairSummary:
    """Counts and ranges of a set of pairs. ``bad`` holds the first ``MAX_LISTED`` of ``bad_count`` unusable rows."""

    good: int = 0
    bad_count: int = 0
    bad: list[BadRow] = field(default_factory=list)
    empty: int = 0  # bad rows whose caption is empty
    captions: set[int] = field(default_factory=set)  # hashes
    words: list[int] = field(default_factory=list)
    sides: list[int] = field(default_factory=list)  # the shortest and the longest side so far, in pixels

    def lines(self, pairs: PairFiles) -> list[str]:
        """Returns the summary as lines of text, without the bad rows."""
        counts = pairs.counts
        lines = [
            f"{counts['rows']} rows, of which {len(pairs)} are pairs; left out are {counts['ties']} ties, "
            f"{counts['unlabelled']} without a label (or has_label is false), {counts['undecided']} with another label "
            f"(as 1 for both) and {counts['duplicates']} with a repeated caption",
            f"{self.good} pairs can be used, {self.bad_count} cannot"
            + (f"; {self.empty} of these have an empty caption" if self.empty else ""),
        ]
        if self.good:
            lines.append(
                f"{len(self.captions)} different captions of {min(self.words)} to {max(self.words)} words "
                f"(mean {mean(self.words):.1f}, median {median(self.words):g})"
            )
            lines.append(f"pictures with sides of {self.sides[0]} to {self.sides[-1]} pixels")
        lines += pairs.changed.lines()
        return [*lines, f"content hash {pairs.hash}"]


def check(pairs: PairFiles, on_bad_row: Callable[[BadRow], None]) -> PairSummary:
    """Decodes every picture and returns the summary; calls ``on_bad_row`` with each bad row as it is found."""
    summary = PairSummary()
    with progress(len(pairs), f"checking {pairs.name}", "pairs") as bar:
        for i in range(len(pairs)):
            try:
                raw = pairs[i]
            except BadRow as bad:
                summary.bad_count += 1
                summary.empty += bad.why == EMPTY_CAPTION
                if len(summary.bad) < MAX_LISTED:
                    summary.bad.append(bad)
                    on_bad_row(bad)
            else:
                summary.good += 1
                summary.captions.add(hash(raw.caption))
                summary.words.append(len(raw.caption.split()))
                sides = [*summary.sides, *raw.winner.size, *raw.loser.size]
                summary.sides = [min(sides), max(sides)]
            bar.advance(1, f"{summary.bad_count} bad" if summary.bad_count else "")
    return summary

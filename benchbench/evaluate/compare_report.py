"""What the report of a comparison shows: the differences, who wins image by image, and where the two differ most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from benchbench.evaluate.generate import Generation
from benchbench.evaluate.measure import Measured
from benchbench.evaluate.reward_table import significance
from benchbench.report.grids import data_uri
from benchbench.report.sections import OutcomeBar, OutcomeGroup, OutcomeSection, SideBySide, SideBySideSection
from benchbench.report.table import Cell, Column, Table, format_number, make_cell
from benchbench.stats import intervals
from benchbench.stats.multiple import Verdict
from benchbench.stats.paired import Difference
from benchbench.stats.proportions import wins

SHOWN = 12  # prompts
ByReward = Mapping[str, tuple[pd.DataFrame, pd.DataFrame]]  # score rows of the first and the second side
NAMED = 4  # rewards in the note under a pair of images


def table(
    one: str,
    other: str,
    by_reward: ByReward,
    differences: Mapping[str, Difference],
    verdicts: Mapping[str, Verdict],
    measured: Measured,
    prompts: str,
) -> Table:
    cells = {
        name: {
            one: make_cell(intervals.mean(ours)),
            other: make_cell(intervals.mean(theirs)),
            "difference": make_cell(differences[name].raw, differences[name], None, verdicts[name]),
            "p": Cell(value=verdicts[name].p),
            "p, Holm": Cell(value=verdicts[name].holm),
        }
        for name, (ours, theirs) in by_reward.items()
    }
    about = "; ".join(
        f"{name} (version {ours.version.iloc[0]}, in {ours.unit.iloc[0] or 'no unit'})"
        for name, (ours, _) in by_reward.items()
    )
    caption = (
        f"{measured.protocol.describe()}. Rewards: {about}. In brackets: {intervals.LEVEL:.0%} interval over prompts. "
        f"difference: {one} less {other}, paired by prompt; SD: in standard deviations of {other} over its images. "
        f"{significance(differences.values(), verdicts.values())}. Protocol {measured.protocol.digest}."
    )
    return Table(
        name=f"compare-{one}-{other}-{prompts}",
        title=f"{one} less {other}",
        caption=caption,
        rows=tuple(by_reward),
        columns=tuple(Column(key=key) for key in (one, other, "difference", "p", "p, Holm")),
        cells=cells,
        protocol=measured.protocol.digest,
        ranked=False,
    )


def bars(labels: tuple[str, str], by_reward: ByReward) -> OutcomeSection:
    found = []
    for name, (ours, theirs) in by_reward.items():
        won = wins(ours, theirs)
        found.append(
            OutcomeBar(
                label=name,
                win=won.win,
                draw=won.draw,
                lose=won.lose,
                low=won.rate.low,
                high=won.rate.high,
            )
        )
    return OutcomeSection(
        title="Image by image",
        caption=f"Images of {labels[0]} with a higher, equal and lower score than the image of {labels[1]} with the "
        "same prompt, sample number and seed. At the right the win rate, in which a draw is half a win, with its "
        "95% interval over prompts.",
        against=labels[1],
        groups=(OutcomeGroup(title=f"{labels[0]} against {labels[1]}", bars=tuple(found)),),
    )


def apart(by_reward: ByReward) -> pd.DataFrame:
    """Mean differences [prompt_index, reward] in standard deviations of the second side's images, most apart first.

    Prompts are ranked by the mean size of their differences over the rewards, ties by their place in the set; a reward
    that does not vary on the second side is left out.
    """
    columns = {}
    for name, (ours, theirs) in by_reward.items():
        unit = float(theirs.score.std(ddof=1))
        if unit > 0:
            means = [frame.groupby("prompt_index").score.mean() for frame in (ours, theirs)]
            columns[name] = (means[0] - means[1]) / unit
    found = pd.DataFrame(columns)
    return found.loc[found.abs().mean(axis=1).sort_values(ascending=False, kind="stable").index]


def pairs(
    labels: tuple[str, str],
    by_reward: ByReward,
    measured: Measured,
) -> SideBySideSection:
    ranked = apart(by_reward)
    generations = [measured.generations[label][0] for label in labels]
    shown = []
    for index, row in ranked.head(SHOWN).iterrows():
        prompt, images = _images(generations, int(str(index)))
        largest = row.loc[row.abs().sort_values(ascending=False).index].head(NAMED)
        note = ", ".join(f"{name} {format_number(float(value), 1, True)}" for name, value in largest.items())
        shown.append(SideBySide(prompt=prompt, images=images, note=f"SD: {note}"))
    left = len(ranked) - len(shown)
    return SideBySideSection(
        title="Where they differ most",
        caption=f"The {len(shown)} prompts with the largest mean difference over the rewards, in standard deviations "
        f"of {labels[1]}: selected, so not typical. {left} prompts are left out. Images are sample 0 of seed "
        f"{generations[0].seed}; the numbers, {labels[0]} less {labels[1]}, are over all images of the prompt.",
        labels=labels,
        pairs=tuple(shown),
    )


def _images(generations: Sequence[Generation], index: int) -> tuple[str, tuple[str, str]]:
    item = next(item for item in generations[0].entries if item.index == index and item.number == 0)
    one, other = (data_uri(generation.images.read(item)) for generation in generations)
    return item.prompt, (one, other)

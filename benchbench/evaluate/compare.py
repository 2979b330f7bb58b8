"""Two models side by side: what differs under each reward, how surely, and on which prompts most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from benchbench.api import PromptSet
from benchbench.errors import UsageError
from benchbench.evaluate.generate import Generation
from benchbench.evaluate.measure import BASE, Measured, measure
from benchbench.evaluate.run import sections
from benchbench.protocols.reward_table import significance
from benchbench.report import folder
from benchbench.report.grids import data_uri
from benchbench.report.sections import Bar, BarGroup, Bars, Page, Pair, Pairs
from benchbench.report.table import Cell as TableCell
from benchbench.report.table import Column, Table, cell, number
from benchbench.stats import intervals
from benchbench.stats.multiple import Verdict, judge
from benchbench.stats.paired import Difference, difference
from benchbench.stats.proportions import wins
from benchbench.store.runs import adapter

SHOWN = 12  # prompts
ByReward = Mapping[str, tuple[pd.DataFrame, pd.DataFrame]]  # score rows of the first and the second side
NAMED = 4  # rewards in the note under a pair of images


@dataclass(frozen=True)
class Side:
    """One of the two: its label, the adapter that it is (None: the base model) and the settings it was trained with."""

    label: str
    adapter: str | Path | None
    hash: str | None
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """The difference first minus second by reward, the verdict on it, the table, and the folder of the report."""

    differences: dict[str, Difference]
    verdicts: dict[str, Verdict]
    table: Table
    folder: Path


def sides(first: str | Path, second: str | Path, store: Path) -> tuple[Side, Side]:
    """The two as run ids, folders or ``base``. They are called by their methods where those differ.

    Errors: MissingError (no such run), RunError (not finished), UsageError where both are one and the same model.
    """
    one, other = _side(first, store), _side(second, store)
    if one.hash == other.hash:
        raise UsageError(
            f"{first} and {second} are the same model", "their weights are equal", "name two different runs, or base"
        )
    short = [str(side.settings.get("method", side.label)) for side in (one, other)]
    if short[0] == short[1]:
        return one, other
    return replace(one, label=short[0]), replace(other, label=short[1])


def _side(name: str | Path, store: Path) -> Side:
    if str(name) == BASE:
        return Side(BASE, None, None, {})
    found = adapter(store, name)
    return Side(found.label, name, found.hash, found.settings)


def compare(
    one: Side,
    other: Side,
    model: str,
    prompts: PromptSet,
    rewards: Sequence[str],
    *,
    store: Path,
    **options: Any,
) -> Comparison:
    """Generates and scores what the store does not hold, and writes the report; options and errors of ``measure``."""
    rows = {side.label: [side.adapter] if side.adapter is not None else [] for side in (one, other)}
    measured = measure(model, rows, prompts, rewards, store=store, **options)
    frames = [measured.frames[side.label].assign(train_seed=0) for side in (one, other)]
    by_reward = {
        name: (frames[0][frames[0].reward == name], frames[1][frames[1].reward == name])
        for name in dict.fromkeys(frames[0].reward)
    }
    differences = {name: difference(ours, theirs) for name, (ours, theirs) in by_reward.items()}
    verdicts = judge(differences)
    table = _table(one.label, other.label, by_reward, differences, verdicts, measured, prompts.name)
    labels = (one.label, other.label)
    first, *rest = sections(measured, table)
    page = Page(
        title=f"{one.label} and {other.label} on {prompts.name}",
        intro=f"{_named(one)} less {_named(other)}, on the model {measured.protocol.model}: the same prompts, samples "
        "and noise for both.",
        sections=(first, _bars(labels, by_reward), _pairs(labels, by_reward, measured), *rest),
    )
    out = folder.write(store, f"compare-{one.label}-{other.label}-{prompts.name}", page)
    return Comparison(differences, verdicts, table, out)


def _named(side: Side) -> str:
    name = Path(side.adapter).name if side.adapter is not None else side.label
    return side.label if name == side.label else f"{side.label} ({name})"


def _table(
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
            one: cell(intervals.mean(ours)),
            other: cell(intervals.mean(theirs)),
            "difference": cell(differences[name].raw, differences[name], None, verdicts[name]),
            "p": TableCell(value=verdicts[name].p),
            "p, Holm": TableCell(value=verdicts[name].holm),
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


def _bars(labels: tuple[str, str], by_reward: ByReward) -> Bars:
    bars = []
    for name, (ours, theirs) in by_reward.items():
        found = wins(ours, theirs)
        bars.append(
            Bar(
                label=name,
                win=found.win,
                draw=found.draw,
                lose=found.lose,
                low=found.rate.low,
                high=found.rate.high,
            )
        )
    return Bars(
        title="Image by image",
        caption=f"Images of {labels[0]} with a higher, equal and lower score than the image of {labels[1]} with the "
        "same prompt, sample number and seed. At the right the win rate, in which a draw is half a win, with its "
        "95% interval over prompts.",
        against=labels[1],
        groups=(BarGroup(title=f"{labels[0]} against {labels[1]}", bars=tuple(bars)),),
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


def _pairs(
    labels: tuple[str, str],
    by_reward: ByReward,
    measured: Measured,
) -> Pairs:
    ranked = apart(by_reward)
    generations = [measured.generations[label][0] for label in labels]
    shown = []
    for index, row in ranked.head(SHOWN).iterrows():
        prompt, images = _images(generations, int(str(index)))
        largest = row.loc[row.abs().sort_values(ascending=False).index].head(NAMED)
        note = ", ".join(f"{name} {number(float(value), 1, True)}" for name, value in largest.items())
        shown.append(Pair(prompt=prompt, images=images, note=f"SD: {note}"))
    left = len(ranked) - len(shown)
    return Pairs(
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

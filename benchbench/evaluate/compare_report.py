"""The report of a comparison: differences by reward, outcomes image by image, and the prompts that differ most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from benchbench.evaluate.generate import Generation
from benchbench.evaluate.mean_cell import chance_sentence, difference_cell, is_fraction, mean_cell
from benchbench.evaluate.measure import Measured
from benchbench.evaluate.verdict_words import verdict_words
from benchbench.report.grids import data_uri
from benchbench.report.sections import OutcomeBar, OutcomeGroup, OutcomeSection, SideBySide, SideBySideSection
from benchbench.report.table import P_VALUE, Cell, Column, Table, format_number
from benchbench.stats import intervals
from benchbench.stats.multiple import Verdict
from benchbench.stats.paired import Difference
from benchbench.stats.proportions import wins

PROMPTS_SHOWN = 12
REWARDS_NOTED = 4  # in the note under a pair of images
Labels = tuple[str, str]  # of the first and the second model
ByReward = Mapping[str, tuple[pd.DataFrame, pd.DataFrame]]  # score rows of the first and the second model


def comparison_table(
    labels: Labels,
    by_reward: ByReward,
    differences: Mapping[str, Difference],
    verdicts: Mapping[str, Verdict],
    measured: Measured,
    prompts: str,
) -> Table:
    """Returns the table with one row per reward: both means, their difference and its p-values."""
    first, second = labels
    cells = {
        name: {
            first: mean_cell(first_scores),
            second: mean_cell(second_scores),
            "difference": difference_cell(first_scores, differences[name], verdicts[name]),
            "p": Cell(value=verdicts[name].p),
            "p, Holm": Cell(value=verdicts[name].holm),
        }
        for name, (first_scores, second_scores) in by_reward.items()
    }
    rewards = "; ".join(
        f"{name} (version {scores.version.iloc[0]}, in {scores.unit.iloc[0] or 'no unit'})"
        for name, (scores, _) in by_reward.items()
    )
    seeds = max(difference.raw.seeds for difference in differences.values())
    over, paired = (
        ("prompts", "prompt") if seeds == 1 else (f"prompts and {seeds} trainings", "prompt and training seed")
    )
    units = [scores.unit.iloc[0] for scores, _ in by_reward.values()]
    fractions = "Intervals of fractions are Wilson's for clustered samples. " if any(map(is_fraction, units)) else ""
    chance = chance_sentence([scores for scores, _ in by_reward.values()])
    of_shares = f"{fractions}{f'{chance}. ' if chance else ''}"
    caption = (
        f"Means, where higher is better, and their difference, paired by {paired}. In brackets: "
        f"{intervals.LEVEL:.0%} interval over {over}. SD: the difference in standard deviations of {second} over its "
        f"images. {verdict_words(differences, verdicts, {}, intervals.LEVEL)}. {of_shares}"
        f"{measured.conditions.describe()}. Rewards: {rewards}. Protocol {measured.conditions.digest}."
    )
    return Table(
        name=f"compare-{first}-{second}-{prompts}",
        title=f"{first} minus {second}",
        caption=caption,
        rows=tuple(by_reward),
        columns=(
            *(Column(key=key) for key in (first, second, "difference")),
            *(Column(key=key, unit=P_VALUE) for key in ("p", "p, Holm")),
        ),
        cells=cells,
        protocol=measured.conditions.digest,
    )


def outcome_section(labels: Labels, by_reward: ByReward) -> OutcomeSection:
    """Returns the section with a bar per reward: shares of images that win, draw and lose."""
    bars = []
    for name, scores in by_reward.items():
        shares = wins(*scores)
        bars.append(
            OutcomeBar(
                label=name,
                win=shares.win,
                draw=shares.draw,
                lose=shares.lose,
                low=shares.rate.low,
                high=shares.rate.high,
            )
        )
    return OutcomeSection(
        title="Image by image",
        caption=f"Images of {labels[0]} with a higher, equal and lower score than the image of {labels[1]} with the "
        "same prompt, sample number and seed. At the right the win rate, in which a draw is half a win, with its "
        "95% interval over prompts.",
        against=labels[1],
        groups=(OutcomeGroup(title=f"{labels[0]} against {labels[1]}", bars=tuple(bars)),),
    )


def largest_differences(by_reward: ByReward) -> pd.DataFrame:
    """Returns mean differences [prompt_index, reward], largest first, in SDs of the second model over its images.

    Prompts are ranked by the mean absolute difference over the rewards; ties keep the order of the prompt set. Rewards
    that are constant on the second model are left out.
    """
    columns = {}
    for name, (first_scores, second_scores) in by_reward.items():
        deviation = float(second_scores.score.std(ddof=1))
        if deviation > 0:
            means = [scores.groupby("prompt_index").score.mean() for scores in (first_scores, second_scores)]
            columns[name] = (means[0] - means[1]) / deviation
    differences = pd.DataFrame(columns)
    return differences.loc[differences.abs().mean(axis=1).sort_values(ascending=False, kind="stable").index]


def side_by_side_section(labels: Labels, by_reward: ByReward, measured: Measured) -> SideBySideSection:
    """Returns the section with images of both models for the prompts that differ most."""
    ranked = largest_differences(by_reward)
    generations = [measured.generations[label][0] for label in labels]
    shown = []
    for index, row in ranked.head(PROMPTS_SHOWN).iterrows():
        prompt, images = _images(generations, int(str(index)))
        largest = row.loc[row.abs().sort_values(ascending=False).index].head(REWARDS_NOTED)
        note = ", ".join(f"{name} {format_number(float(value), 1, True)}" for name, value in largest.items())
        shown.append(SideBySide(prompt=prompt, images=images, note=f"SD: {note}"))
    left_out = len(ranked) - len(shown)
    return SideBySideSection(
        title="Where they differ most",
        caption=f"The {len(shown)} prompts with the largest mean difference over the rewards, in standard deviations "
        f"of {labels[1]}: selected, so not typical. {left_out} prompts are left out. Images are sample 0 of seed "
        f"{generations[0].seed}; the numbers, {labels[0]} minus {labels[1]}, are over all images of the prompt.",
        labels=labels,
        pairs=tuple(shown),
    )


def _images(generations: Sequence[Generation], index: int) -> tuple[str, tuple[str, str]]:
    """Returns a prompt and, as data URIs, both models' images of its sample 0."""
    sample = next(sample for sample in generations[0].entries if sample.index == index and sample.number == 0)
    first, second = (data_uri(generation.images.read(sample)) for generation in generations)
    return sample.prompt, (first, second)

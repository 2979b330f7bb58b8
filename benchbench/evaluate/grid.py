"""Grids of pictures for people: several models, or one model over its training, with the same prompts and noise.

Which prompts are shown is decided by a rule that the caption states. Nobody chooses pictures by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from benchbench.errors import UsageError
from benchbench.evaluate.generate import Generation
from benchbench.evaluate.measure import BASE, Prepared, measure, prepare
from benchbench.evaluate.over_training import rows_over_training
from benchbench.evaluate.rows import short_labels
from benchbench.hub.models import LocalModel
from benchbench.noise import Noise, Sample
from benchbench.report import figure, folder
from benchbench.report.answer import listed
from benchbench.report.figure import PictureRow
from benchbench.report.grids import data_uri
from benchbench.report.sections import GridRow, GridSection, Page, RecordSection
from benchbench.report.table import format_number
from benchbench.reward_calls import load
from benchbench.rewards.scoring import scoring
from benchbench.runtime.files import write_atomic
from benchbench.runtime.words import counted
from benchbench.store.runs import AdapterReference, find_adapter
from benchbench.types import PromptSet, Reward

Rule = Literal["all", "random", "difference"]
Rows = Mapping[str, Sequence[AdapterReference]]
FIGURES: tuple[Literal["png", "pdf", "svg"], ...] = ("png", "pdf", "svg")


@dataclass(frozen=True)
class Choice:
    """The indices of the prompts to show, and the rule that chose them, as a sentence."""

    indices: tuple[int, ...]
    rule: str


def compare_models(
    model: str | LocalModel,
    adapters: Sequence[str | Path],
    prompts: PromptSet,
    rewards: Sequence[type[Reward]],
    *,
    rule: Rule,
    count: int,
    seeds: Sequence[int],
    store: Path,
    **options: Any,
) -> Path:
    """Returns the folder of a report with a row for the base model and for each adapter, a column for each picture.

    ``rewards`` are noted under the pictures; the rule ``difference`` chooses by the first of them. ``options`` are more
    arguments of ``evaluate.measure.prepare``. Raises its errors, and UsageError for two rows of one name.
    """
    found = [find_adapter(store, reference) for reference in adapters]
    labels = short_labels(found)
    if len({BASE, *labels}) <= len(labels):
        raise UsageError("two rows would have one name", ", ".join([BASE, *labels]), "name each model once")
    rows: Rows = {BASE: []} | {label: [adapter] for label, adapter in zip(labels, found, strict=True)}
    options |= {"store": store, "images_per_prompt": 1, "eval_seeds": seeds}
    choice = _choose(model, rows, prompts, rewards, rule, count, options)
    shown = [(index, seed) for index in choice.indices for seed in seeds]
    several = len(seeds) > 1
    headings = [prompts.prompts[i] + (f"\nseed {seed}" if several else "") for i, seed in shown]
    generations, prepared = _images(model, rows, prompts, choice, options)
    lines = [(label, [_sample(generations[label], index, seed) for index, seed in shown]) for label in rows]
    caption = (
        f"Every row has the same prompts and noise (seed{'s' if several else ''} {', '.join(map(str, seeds))}, "
        f"sample 0). {choice.rule}{prepared.conditions.trained_sentence}"
    )
    title = f"{counted(len(choice.indices), 'prompt')} of {prompts.name} by {counted(len(rows), 'model')}"
    answer = f"Pictures of {listed(list(rows))}, which only show: nothing is tested here."
    return _write(f"grid-{prompts.name}", title, answer, caption, headings, lines, rewards, prepared, store)


def film(
    model: str | LocalModel,
    reference: str | Path,
    prompts: PromptSet,
    rewards: Sequence[type[Reward]],
    *,
    rule: Literal["all", "random"],
    count: int,
    seeds: Sequence[int],
    store: Path,
    **options: Any,
) -> Path:
    """Returns the folder of a report with a row for each prompt and seed, and a column for each stage of a training.

    Raises what ``rows_over_training`` and ``evaluate.measure.prepare`` raise.
    """
    adapter = find_adapter(store, reference)
    rows = rows_over_training(adapter)
    options |= {"store": store, "images_per_prompt": 1, "eval_seeds": seeds}
    choice = _choose(model, rows, prompts, rewards, rule, count, options)
    generations, prepared = _images(model, rows, prompts, choice, options)
    several = len(seeds) > 1
    lines = [
        (
            prompts.prompts[index] + (f", seed {seed}" if several else ""),
            [_sample(generations[label], index, seed) for label in rows],
        )
        for index in choice.indices
        for seed in seeds
    ]
    caption = (
        f"{adapter.label} over its training: the columns are numbers of training samples, 0 is the base model. Every "
        f"picture of a row has the same noise (seed{'s' if several else ''} {', '.join(map(str, seeds))}, sample 0). "
        f"{choice.rule}{prepared.conditions.trained_sentence}"
    )
    title = f"{adapter.label} over its training"
    stages = counted(len(rows), "stage")
    answer = f"Pictures of {adapter.label} at {stages} of its training, which only show: nothing is tested here."
    return _write(f"film-{adapter.label}", title, answer, caption, list(rows), lines, rewards, prepared, store)


Picture = tuple[Generation, Sample]


def _choose(
    model: str | LocalModel,
    rows: Rows,
    prompts: PromptSet,
    rewards: Sequence[type[Reward]],
    rule: Rule,
    count: int,
    options: dict[str, Any],
) -> Choice:
    total = len(prompts)
    if rule == "all" or (rule == "random" and count >= total):
        return Choice(tuple(range(total)), "All prompts are shown.")
    if rule == "random":
        drawn = Noise(0, "grid").permutation(total, "prompts", prompts.hash_for())[:count]
        return Choice(tuple(sorted(drawn)), f"{count} of the {total} prompts of {prompts.name} were drawn at random.")
    if len(rows) < 2 or not rewards:
        raise UsageError(
            "there is no difference to choose by",
            "it is that of a reward between runs and the base",
            "name a run and a reward, as bench grid RUN --select difference --rewards NAME",
        )
    measured = measure(model, rows, prompts, rewards[:1], **options)
    means = pd.DataFrame(
        {label: frame.groupby("prompt_index").score.mean() for label, frame in measured.frames.items()}
    )
    difference = means.drop(columns=BASE).sub(means[BASE], axis=0).abs().mean(axis=1)
    largest = difference.sort_values(ascending=False, kind="stable").index[:count]
    return Choice(
        tuple(int(str(index)) for index in largest),
        f"These are the {min(count, total)} of {total} prompts of {prompts.name} with the largest difference of "
        f"{rewards[0].name} from the base, as a mean over the rows: selected, so not typical.",
    )


def _images(
    model: str | LocalModel, rows: Rows, prompts: PromptSet, choice: Choice, options: dict[str, Any]
) -> tuple[dict[str, list[Generation]], Prepared]:
    """Returns the generations of each row, by its label, and what they were made with."""
    prepared = prepare(model, rows, prompts, (), **options)
    made = prepared.make(only=frozenset(choice.indices))
    return {label: [g for (row, _), gs in made.items() if row == label for g in gs] for label in rows}, prepared


def _sample(generations: Sequence[Generation], index: int, seed: int) -> Picture:
    generation = next(generation for generation in generations if generation.seed == seed)
    return generation, next(sample for sample in generation.entries if sample.index == index)


def _write(
    name: str,
    title: str,
    answer: str,
    caption: str,
    headings: Sequence[str],
    lines: Sequence[tuple[str, Sequence[Picture]]],
    rewards: Sequence[type[Reward]],
    prepared: Prepared,
    store: Path,
) -> Path:
    """Writes the page, and the figure as PNG, PDF and SVG; returns their folder."""
    notes = _notes(lines, rewards, prepared.device)
    rows = [
        PictureRow(label, tuple(generation.images.read(sample) for generation, sample in pictures), row_notes)
        for (label, pictures), row_notes in zip(lines, notes, strict=True)
    ]
    grid = GridSection(
        title="Pictures",
        caption=caption,
        prompts=tuple(headings),
        rows=tuple(
            GridRow(label=row.label, images=tuple(map(data_uri, row.pictures)), notes=row.notes) for row in rows
        ),
    )
    page = Page(
        title=title,
        answer=answer,
        intro=f"As files beside this page: {listed([f'figure.{kind}' for kind in FIGURES])}.",
        sections=(grid, RecordSection(records={"these pictures": prepared.made_on})),
    )
    report = folder.write(store, name, page)
    for kind in FIGURES:
        write_atomic(report / f"figure.{kind}", figure.draw(headings, rows, kind))
    return report


def _notes(
    lines: Sequence[tuple[str, Sequence[Picture]]], rewards: Sequence[type[Reward]], device: str
) -> list[tuple[str, ...]]:
    """Returns a line for each reward under each picture, or no notes without rewards."""
    if not rewards:
        return [() for _ in lines]
    flat = [picture for _, pictures in lines for picture in pictures]
    images, texts = [g.images.read(sample) for g, sample in flat], [sample.prompt for _, sample in flat]
    columns = {}
    for reward_class in rewards:
        scores = scoring(load(reward_class, device))(images, texts)
        largest = float(scores.abs().max())
        columns[reward_class.name] = [format_number(float(score), largest) for score in scores]
    texts_of = ["\n".join(f"{name} {values[i]}" for name, values in columns.items()) for i in range(len(flat))]
    width = len(lines[0][1])
    return [tuple(texts_of[start : start + width]) for start in range(0, len(flat), width)]

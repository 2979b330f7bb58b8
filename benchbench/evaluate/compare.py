"""Two models side by side: what differs under each reward, how surely, and on which prompts most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchbench.errors import UsageError
from benchbench.evaluate import compare_report
from benchbench.evaluate.measure import BASE, measure
from benchbench.evaluate.report import sections
from benchbench.hub.models import LocalModel
from benchbench.report import folder
from benchbench.report.sections import Page
from benchbench.report.table import Table
from benchbench.stats.multiple import Verdict, corrected_verdicts
from benchbench.stats.paired import Difference, difference
from benchbench.store.runs import Adapter, adapter
from benchbench.types import PromptSet, Reward


@dataclass(frozen=True)
class Side:
    """One of the two: its label, the adapter that it is (None: the base model) and the settings it was trained with."""

    label: str
    adapter: Adapter | None
    given: str
    """The word that named it."""
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
    if (one.adapter and one.adapter.hash) == (other.adapter and other.adapter.hash):
        raise UsageError(
            f"{first} and {second} are the same model", "their weights are equal", "name two different runs, or base"
        )
    short = [str(side.settings.get("method", side.label)) for side in (one, other)]
    if short[0] == short[1]:
        return one, other
    return replace(one, label=short[0]), replace(other, label=short[1])


def _side(name: str | Path, store: Path) -> Side:
    if str(name) == BASE:
        return Side(BASE, None, BASE, {})
    found = adapter(store, name)
    return Side(found.label, found, str(name), found.settings)


def compare(
    one: Side,
    other: Side,
    model: str | LocalModel,
    prompts: PromptSet,
    rewards: Sequence[str | type[Reward]],
    *,
    store: Path,
    **options: Any,
) -> Comparison:
    """Generates and scores what the store does not hold, and writes the report; options and errors of ``measure``."""
    rows = {side.label: [side.adapter] if side.adapter else [] for side in (one, other)}
    measured = measure(model, rows, prompts, rewards, store=store, **options)
    frames = [measured.frames[side.label].assign(train_seed=0) for side in (one, other)]
    by_reward = {
        name: (frames[0][frames[0].reward == name], frames[1][frames[1].reward == name])
        for name in dict.fromkeys(frames[0].reward)
    }
    differences = {name: difference(ours, theirs) for name, (ours, theirs) in by_reward.items()}
    verdicts = corrected_verdicts(differences)
    table = compare_report.table(one.label, other.label, by_reward, differences, verdicts, measured, prompts.name)
    labels = (one.label, other.label)
    first, *rest = sections(measured, table)
    page = Page(
        title=f"{one.label} and {other.label} on {prompts.name}",
        intro=f"{_named(one)} less {_named(other)}, on the model {measured.protocol.model}: the same prompts, samples "
        "and noise for both.",
        sections=(
            first,
            compare_report.bars(labels, by_reward),
            compare_report.pairs(labels, by_reward, measured),
            *rest,
        ),
    )
    out = folder.write(store, f"compare-{one.label}-{other.label}-{prompts.name}", page)
    return Comparison(differences, verdicts, table, out)


def _named(side: Side) -> str:
    name = Path(side.given).name if side.adapter is not None else side.label
    return side.label if name == side.label else f"{side.label} ({name})"

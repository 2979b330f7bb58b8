"""The table of mean rewards by row and reward: intervals clustered by prompt, and paired differences to the base."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pandas as pd

from benchbench.errors import UsageError
from benchbench.evaluate.conditions import EvalConditions
from benchbench.evaluate.mean_cell import chance_sentence, is_fraction, mean_cell
from benchbench.evaluate.verdict_words import verdict_words
from benchbench.report.table import Cell, Column, Table
from benchbench.runtime.words import counted
from benchbench.stats import intervals, paired
from benchbench.stats.multiple import Verdict, corrected_verdicts
from benchbench.stats.order import contrasts
from benchbench.stats.paired import Difference
from benchbench.stats.power import trainings_needed
from benchbench.stats.trainings import FEWEST_TRAININGS

PublishedValues = Mapping[tuple[str, str], float]  # by row and column


def reward_table(
    frames: Mapping[str, pd.DataFrame],
    conditions: EvalConditions,
    *,
    name: str = "rewards",
    title: str = "Mean reward",
    base: str | None = "base",
    published: PublishedValues | None = None,
    held_out: frozenset[str] = frozenset(),
    untrained: frozenset[str] = frozenset(),
    quick: bool = False,
    level: float = intervals.LEVEL,
) -> Table:
    """Returns the table of score rows by row label; the column ``train_seed`` tells a row's trainings apart.

    ``base`` names the row that others are compared with; the tests of ``held_out`` rewards, which no row was trained
    on, and those of the other rewards are corrected as two families. ``untrained`` names rows besides the base that
    have no trainings, as the best of four images of the base. A row need not have every reward. Raises UsageError if
    rows were not sampled alike.
    """
    columns = _columns(frames, held_out)
    reference = frames[base] if base is not None and base in frames else None
    parts = {
        (row, column.key): part
        for row in frames
        for column in columns
        if not (part := _of_reward(frames[row], column.key)).empty
    }
    differences = {
        (row, reward): paired.difference(part, _of_reward(reference, reward), level, trained=row not in untrained)
        for (row, reward), part in parts.items()
        if reference is not None and row != base and not _of_reward(reference, reward).empty
    }
    verdicts = corrected_verdicts(differences, level, family=lambda key: _family(key[1], held_out))
    needed = _trainings_needed(differences, verdicts, level)
    cells: dict[str, dict[str, Cell]] = {row: {} for row in frames}
    for (row, reward), part in parts.items():
        published_value = (published or {}).get((row, reward))
        difference, verdict = differences.get((row, reward)), verdicts.get((row, reward))
        trainings = None if row in untrained else needed.get(reward)
        cells[row][reward] = mean_cell(part, difference, published_value, verdict, trainings, level)
    alone = untrained | ({base} if base is not None else set())
    found = {column.key: rows_ahead(parts, column.key, alone, level) for column in columns}
    ahead = {key: pairs for key, pairs in found.items() if pairs is not None}
    compared_with = base if reference is not None else None
    words, chance = verdict_words(differences, verdicts, needed, level), chance_sentence([*parts.values()])
    return Table(
        name=name,
        title=title,
        caption=_caption(conditions, columns, cells, compared_with, words, chance, bool(ahead), level),
        rows=tuple(frames),
        columns=columns,
        cells=cells,
        protocol=conditions.digest,
        quick=quick,
        ahead=ahead,
    )


def rows_ahead(
    parts: Mapping[tuple[str, str], pd.DataFrame],
    reward: str,
    untrained: Collection[str],
    level: float = intervals.LEVEL,
) -> tuple[tuple[str, str], ...] | None:
    """Returns the pairs of rows that tests tell apart on one reward, the better one first.

    ``parts`` has the score rows by row and reward; rows in ``untrained`` have no trainings. Returns None where a
    trained row has too few trainings for a verdict, or where two rows share no training seed.
    """
    frames = {row: part for (row, key), part in parts.items() if key == reward}
    trained = [part for row, part in frames.items() if row not in untrained]
    seeds = [part.train_seed.nunique() if "train_seed" in part else 1 for part in trained]
    if len(frames) < 2 or min(seeds, default=FEWEST_TRAININGS) < FEWEST_TRAININGS:
        return None
    try:
        found = contrasts(frames, untrained, level)
    except UsageError:  # no seed in common
        return None
    return found.apart if found.decided else None


def _of_reward(frame: pd.DataFrame, reward: str) -> pd.DataFrame:
    return frame[frame.reward == reward]


def _columns(frames: Mapping[str, pd.DataFrame], held_out: frozenset[str]) -> tuple[Column, ...]:
    parts = [frame[["reward", "version", "unit"]] for frame in frames.values()]
    rewards = pd.concat(parts).drop_duplicates("reward").itertuples(index=False)
    columns = (
        Column(key=r.reward, unit=r.unit, version=r.version, held_out=r.reward in held_out, better="higher")
        for r in rewards
    )
    return tuple(sorted(columns, key=lambda column: column.held_out))  # what was trained on is never scrolled away


def _family(reward: str, held_out: frozenset[str]) -> str:
    """Returns the family of a reward's tests: rewards that were trained on and held-out ones are separate questions."""
    return "held-out rewards" if reward in held_out else "rewards"


def _trainings_needed(
    differences: Mapping[tuple[str, str], Difference], verdicts: Mapping[tuple[str, str], Verdict], level: float
) -> dict[str, int | None]:
    """Returns the number of trainings that would probably show a difference of half a standard deviation, by reward."""
    by_reward: dict[str, list[tuple[str, str]]] = {}
    for key in differences:
        by_reward.setdefault(key[1], []).append(key)
    return {
        reward: trainings_needed([differences[key] for key in keys], max(verdicts[key].tests for key in keys), level)
        for reward, keys in by_reward.items()
    }


def _caption(
    conditions: EvalConditions,
    columns: tuple[Column, ...],
    cells: Mapping[str, Mapping[str, Cell]],
    base: str | None,
    verdicts: str,
    chance: str,
    letters: bool,
    level: float,
) -> str:
    seeds = max((cell.seeds for row in cells.values() for cell in row.values()), default=1)
    rewards = "; ".join(f"{c.key} (version {c.version}, in {c.unit or 'no unit'})" for c in columns)
    images = counted(conditions.images_per_prompt * len(conditions.eval_seeds), "image")
    over = f"prompts and up to {seeds} trainings of a row" if seeds > 1 else "prompts"
    sentences = [
        f"Means over {conditions.prompt_count} prompts of {conditions.prompts}, {images} each",
        f"In brackets: {level:.0%} interval of the mean over {over}",
    ]
    if base is not None and len(cells) > 1:
        sentences += [f"SD: difference to {base}, in standard deviations of {base} over its images", verdicts]
    if letters:
        tests = " by paired tests of each two rows, with Holm's correction" if len(cells) > 2 else ""
        sentences.append(f"Rows of a column that share a letter are not told apart{tests}")
        sentences.append("Bold: told apart from every other row of the column")
    if any(is_fraction(column.unit) for column in columns):
        sentences.append("Intervals of fractions are Wilson's for clustered samples")
    sentences += [chance, conditions.describe(), f"Rewards: {rewards}", f"Protocol {conditions.digest}"]
    return ". ".join(filter(None, sentences)) + "."

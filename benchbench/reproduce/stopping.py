"""Trainings that are stopped in time: validation scores choose checkpoints, and what they choose is measured.

Of each training, the checkpoint with the most reward is chosen among those whose guard fell by at most a given loss on
the validation prompts (stats/frontier.py). The base model is always one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from benchbench.evaluate.mean_cell import is_fraction
from benchbench.evaluate.measure import BASE, Measured
from benchbench.reproduce.kept import kept_folder
from benchbench.reproduce.measurement_spec import measurement_spec
from benchbench.reproduce.plan import Plan, PlannedMeasurement, Stopped, checkpoint_of
from benchbench.reproduce.spec import Block, Stop
from benchbench.runtime.files import Log
from benchbench.stats.frontier import LOSSES, START, Validated, choose, frontier
from benchbench.stats.paired import difference

BEARABLE = 0.05
"""The loss of the second table: that of a training that is stopped once."""
ALL_LOSSES = (*LOSSES, BEARABLE)


def after_validation(plan: Plan, store: Path, log: Log) -> Plan:
    """Returns the plan with the choice of each training, and with measurements of what was chosen.

    Errors: those of reading images and scores.
    """
    assert plan.spec.stop is not None
    validation = [m for m in plan.measurements if m.block.prompts == plan.spec.stop.validation]
    stops: dict[Stopped, tuple[int, ...]] = {}
    added: list[PlannedMeasurement] = []
    for group in dict.fromkeys(m.group for m in validation):
        of_group = [m for m in validation if m.group == group]
        frames = measured(plan, of_group, store, log).frames
        reward = group or plan.track.train_reward or plan.rewards[0]
        for row in dict.fromkeys(m.of for m in of_group if m.of):
            of_row = [m for m in of_group if m.of == row]
            chosen = _chosen(of_row, frames, reward, plan.spec.stop.guard)
            stops |= {Stopped(row, group, seed): checkpoints for seed, checkpoints in chosen.items()}
            added += [m for block in plan.blocks for m in _of_chosen(plan, of_row[0], block, chosen)]
    return replace(plan, measurements=(*plan.measurements, *added), stops=stops)


def measured(plan: Plan, measurements: Sequence[PlannedMeasurement], store: Path, log: Log) -> Measured:
    """Returns images and scores of measurements on one prompt set, as their jobs left them. Needs one measurement."""
    rows = {m.row: list(m.runs) for m in measurements}
    rewards = list(dict.fromkeys(reward for m in measurements for reward in m.rewards))
    return measurement_spec(plan, measurements[0], rows, rewards).measure_images(store, log, tell_cost=False)


def in_words(stop: Stop, losses: Sequence[float]) -> str:
    """Returns the sentences of a caption that say at which checkpoints trainings were measured."""
    if len(losses) > 1:
        shown = f"Shown is the mean over losses of {losses[0]:g} to {losses[-1]:g}"
    else:
        shown = f"The loss is {losses[0]:g}"
    return (
        f"Each training is stopped at the checkpoint with the most reward among those at which {stop.guard} fell by at "
        f"most a given loss, both on {stop.validation}; the untrained model is one of them. {shown}."
    )


def stopped_frames(
    plan: Plan, group: str, frames: Mapping[str, pd.DataFrame], losses: Sequence[float] = LOSSES
) -> dict[str, pd.DataFrame]:
    """Returns the score rows of the table's rows, whose mean is the gain at the given losses, averaged over them.

    ``frames`` has the score rows of the base model and of checkpoints, which are named as their measurements. Rows that
    were not stopped stay as they are.
    """
    of_checkpoint = {m.row: (m.of, m.checkpoint) for m in plan.measurements if m.of and m.group == group}
    found = {row: frame for row, frame in frames.items() if row not in of_checkpoint}
    places = [ALL_LOSSES.index(loss) for loss in losses]
    for row in dict.fromkeys(stop.row for stop in plan.stops if stop.group == group):
        parts = []
        for stop, checkpoints in plan.stops.items():
            if (stop.row, stop.group) != (row, group):
                continue
            own = {START: frames[BASE]}
            for name, (of, samples) in of_checkpoint.items():
                if of == row and name in frames:
                    own[samples] = frames[name][frames[name].train_seed == stop.seed]
            parts.append(_averaged(own, [checkpoints[place] for place in places]).assign(train_seed=stop.seed))
        found[row] = pd.concat(parts, ignore_index=True)
    return found


def _averaged(frames: Mapping[int, pd.DataFrame], chosen: Sequence[int]) -> pd.DataFrame:
    """Returns one training's scores under every reward, averaged over the chosen checkpoints."""
    rewards = dict.fromkeys(frames[chosen[0]].reward)
    by_reward = ({seen: frame[frame.reward == reward] for seen, frame in frames.items()} for reward in rewards)
    return pd.concat([frontier(of_reward, chosen) for of_reward in by_reward], ignore_index=True)


def _chosen(
    checkpoints: Sequence[PlannedMeasurement], frames: Mapping[str, pd.DataFrame], reward: str, guard: str
) -> dict[int, tuple[int, ...]]:
    """Returns the checkpoint of each training of a row for each of ``ALL_LOSSES``, by training seed."""
    base, chosen = frames[BASE], {}
    for seed in dict.fromkeys(frames[checkpoints[0].row].train_seed):
        validated = {}
        for m in checkpoints:
            frame = frames[m.row][frames[m.row].train_seed == seed]
            gain = difference(_of(frame, reward), _of(base, reward)).raw.value
            fall = difference(_of(frame, guard), _of(base, guard))
            in_units = fall.raw if is_fraction(_of(base, guard).unit.iloc[0]) else fall.gain or fall.raw
            validated[m.checkpoint] = Validated(gain, -in_units.value)
        chosen[int(seed)] = tuple(choose(validated, ALL_LOSSES))
    return chosen


def _of(frame: pd.DataFrame, reward: str) -> pd.DataFrame:
    return frame[frame.reward == reward]


def _of_chosen(
    plan: Plan, first: PlannedMeasurement, block: Block, chosen: Mapping[int, tuple[int, ...]]
) -> list[PlannedMeasurement]:
    """Returns the measurements of a row's chosen checkpoints on one prompt set, each of the trainings that chose it."""
    seeds = {training.out: training.config.seed for training in plan.trainings}
    outs = {seeds[Path(run).parents[1]]: Path(run).parents[1] for run in first.runs}
    rewards = (first.group,) if first.group else plan.rewards
    of_row = replace(first, row=first.of, rewards=rewards, block=block)
    found = []
    for samples in sorted({seen for checkpoints in chosen.values() for seen in checkpoints} - {START}):
        of_seeds = [seed for seed, checkpoints in chosen.items() if samples in checkpoints]
        runs = tuple(str(kept_folder(outs[seed], samples)) for seed in of_seeds)
        found.append(checkpoint_of(of_row, samples, runs, f"{first.of}, stopped"))
    return found

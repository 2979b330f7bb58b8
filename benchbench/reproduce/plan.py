"""The trainings and measurements that a table needs on one track.

Imports the comparison with a run's inputs, which loads torch, only inside a function: `bench status` must be fast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

from benchbench import prompts as prompt_sets
from benchbench import registry
from benchbench.config import RunConfig, check, load
from benchbench.errors import UsageError
from benchbench.presets import default_preset, preset_values
from benchbench.reproduce.ablation import check_rows
from benchbench.reproduce.kept import every_checkpoint, kept_at, kept_folder
from benchbench.reproduce.spec import Block, Row, Spec, Stop, Track
from benchbench.rewards import lookup
from benchbench.store import runs
from benchbench.types import StepScorer


class Stopped(NamedTuple):
    """A training that is stopped in time: its row, the reward of its columns (empty where all share it), its seed."""

    row: str
    group: str
    seed: int


@dataclass(frozen=True)
class PlannedTraining:
    """One training: its settings, the words of ``--set`` behind them, and its folder in the store."""

    row: str
    config: RunConfig
    overrides: tuple[str, ...]
    out: Path

    @cached_property
    def done(self) -> bool:
        """True where the run was complete, and trained on the inputs of today, when this was asked first."""
        if not self.out.exists():
            return False
        from benchbench.train.run_folder import is_complete

        return is_complete(self.config, self.out)


@dataclass(frozen=True)
class PlannedMeasurement:
    """The table's protocol on the trainings of one row and one prompt set."""

    row: str
    group: str
    """The reward of the trainings; empty where all columns share the trainings."""
    rewards: tuple[str, ...]
    runs: tuple[str, ...]
    """Folders of runs or names of checkpoints; empty for the base model."""
    block: Block
    best_of: int = 1
    """So many images are drawn for each that is shown."""
    of: str = ""
    """The table's row, where this measures one checkpoint of its trainings."""
    checkpoint: int = 0
    """The images that this checkpoint has seen."""
    job: str = ""
    """The job that it shares with others; empty: one of its own, or with other rewards on the same images."""

    @property
    def prompts(self) -> str:
        """The name of the prompt set."""
        return self.block.prompts

    @property
    def images_per_prompt(self) -> int:
        """The number of images that are drawn of a prompt."""
        return self.block.images * self.best_of

    @property
    def images(self) -> int:
        """The number of images that are measured."""
        entry = prompt_sets.index().get(prompt_sets.find(self.prompts) or "")
        count = entry.count if entry else len(prompt_sets.load(self.prompts))
        return count * self.images_per_prompt * max(1, len(self.runs))


@dataclass(frozen=True)
class Plan:
    """Everything that a table needs."""

    spec: Spec
    track_name: str
    track: Track
    rows: tuple[str, ...]
    rewards: tuple[str, ...]
    seeds: tuple[int, ...]
    quick: bool
    trainings: tuple[PlannedTraining, ...] = ()
    measurements: tuple[PlannedMeasurement, ...] = ()
    skipped: tuple[str, ...] = field(default=())
    dtype: str = "auto"
    """The network's precision in measurements."""
    stops: Mapping[Stopped, tuple[int, ...]] = field(default_factory=dict)
    """The checkpoint for each loss, of trainings that are stopped in time; empty before they were validated."""

    @property
    def groups(self) -> tuple[str, ...]:
        """The rewards of columns that have their own trainings; one empty name where all columns share trainings."""
        return tuple(dict.fromkeys(m.group for m in self.measurements))

    @property
    def report_name(self) -> str:
        """The name of the report's folder, to which a digest of its content is added."""
        name = self.spec.id.replace(":", "-")
        return name if self.spec.file else f"{name}-{self.track_name}"

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The prompt sets that the rows are evaluated on."""
        return tuple(self.track.blocks)

    @property
    def on_paper_track(self) -> bool:
        """True on the paper's base model, where values can be compared; elsewhere only orders can."""
        return self.track_name == self.spec.paper_track

    def published(self, block: Block) -> dict[tuple[str, str], float]:
        """Returns the paper's values for a block by (row, published column), in our unit; empty where there are none.

        Times of another model say nothing, so the cost protocol has published values on the paper's track only.
        """
        if not block.published or (self.spec.protocol == "cost" and not self.on_paper_track):
            return {}
        values = self.spec.values(block.published)
        if self.spec.protocol == "cost":
            minutes = "minutes_per_optimizer_step"
            return {(row, "s / step"): 60 * value for (row, column), value in values.items() if column == minutes}
        if self.spec.protocol == "win-rate":  # printed in %
            return {place: value / 100 for place, value in values.items()}
        return values


def make_plan(
    spec: Spec,
    name: str,
    track: Track,
    store: Path,
    *,
    rows: Sequence[str] | None = None,
    rewards: Sequence[str] | None = None,
    seeds: Sequence[int] = (0,),
    quick: bool = False,
    checkpoints: Mapping[str, str] | None = None,
    samples: int | None = None,
    overrides: Sequence[str] = (),
) -> Plan:
    """Returns the trainings and measurements of a table on one track. Rows that cannot be made are skipped.

    ``rewards`` are the columns that are wanted, all by default. ``checkpoints`` maps a row or a method to a run, an
    adapter or a released checkpoint that replaces its trainings. ``samples`` images a training, times the row's factor,
    and the settings ``overrides`` make it smaller; like ``quick``, they mark the table.
    Errors: UsageError (unknown row or column, no seed, rows that are one training), and those of the configuration.
    """
    track = track.model_copy(update={"blocks": track.quick_blocks or track.blocks}) if quick else track
    if overrides:
        track = track.model_copy(update={"set": {row: [*track.set.get(row, ()), *overrides] for row in spec.rows}})
    checkpoints = checkpoints or {}
    _check_words(spec, track, rows or (), rewards or (), seeds, checkpoints)
    wanted = rows or (track.quick_rows if quick else ())
    included = {name: row for name, row in spec.rows.items() if not wanted or name in wanted or row.is_base}
    shared = _columns_share_trainings(spec, track)
    rewards = tuple(dict.fromkeys(rewards or _columns(track, quick, shared)))
    used_seeds = tuple(seeds[:1] if quick or spec.protocol == "study" else seeds)  # a study shows one training a row
    train = partial(_training, store=store, samples=samples, stopped=bool(spec.stop))
    trainings, measurements, skipped = dict[Path, PlannedTraining](), list[PlannedMeasurement](), list[str]()
    for group in ("",) if shared else rewards:
        of_rows: dict[str, RunConfig] = {}
        for name_of_row, row in included.items():
            checkpoint = checkpoints.get(name_of_row) or checkpoints.get(row.method or "") or row.checkpoint
            runs_of_row: list[str] = [checkpoint] if checkpoint else []
            if row.method and not checkpoint and spec.protocol != "cost":
                reason = track.unavailable.get(name_of_row)
                reward = group if reason else training_reward(row, track, group)
                planned = [] if reason else [train(name_of_row, row, track, reward, seed) for seed in used_seeds]
                reason = reason or unsuitable_reward(planned[0].config)
                if reason:
                    skipped.append(f"{name_of_row}{'' if shared else f' on {reward}'}: {reason}")
                    continue
                trainings |= {training.out: training for training in planned if training.out not in trainings}
                runs_of_row = [str(training.out) for training in planned]
                of_rows[name_of_row] = planned[0].config
            scored = rewards if shared else (group,)
            if row.best_of > 1 and (group or track.train_reward) not in scored:
                skipped.append(f"{name_of_row}: a reward of all trainings chooses its images, and it is no column here")
                continue
            first = PlannedMeasurement(name_of_row, group, scored, tuple(runs_of_row), track.blocks[0], row.best_of)
            measurements += [replace(first, block=block) for block in track.blocks]
        check_rows(spec, of_rows, rounded=samples is not None)
    parts = tuple(trainings.values()), tuple(measurements), tuple(dict.fromkeys(skipped))
    smaller = quick or samples is not None or bool(overrides)
    plan = Plan(spec, name, track, tuple(included), rewards, used_seeds, smaller, *parts)
    return _validated_first(plan, spec.stop) if spec.stop else plan


def _validated_first(plan: Plan, stop: Stop) -> Plan:
    """Returns the plan with a measurement of each checkpoint on the validation prompts in place of those of trainings.

    What they choose is measured later: reproduce/stopping.py.
    """
    block = Block(prompts=stop.validation, images=stop.images)
    trained = {str(training.out): training for training in plan.trainings}
    measurements: dict[PlannedMeasurement, None] = {}
    for m in plan.measurements:
        rewards = tuple(dict.fromkeys([*m.rewards, stop.guard]))
        outs = [trained[run] for run in m.runs if run in trained]
        if not outs:
            measurements[m] = None
        if plan.spec.rows[m.row].is_base:
            measurements[replace(m, rewards=rewards, block=block)] = None
        for samples in kept_at(outs[0].config) if outs else ():
            kept = tuple(str(kept_folder(training.out, samples)) for training in outs)
            one = checkpoint_of(m, samples, kept, f"the checkpoints of {m.row}")
            measurements[replace(one, rewards=rewards, block=block)] = None
    return replace(plan, measurements=tuple(measurements))


def checkpoint_of(m: PlannedMeasurement, samples: int, runs: tuple[str, ...], job: str) -> PlannedMeasurement:
    """Returns the measurement of a row's weights after so many images, as one of a job's rows."""
    return replace(m, row=f"{m.row}, {samples} images", of=m.row, checkpoint=samples, runs=runs, job=job)


def _check_words(
    spec: Spec,
    track: Track,
    rows: Sequence[str],
    rewards: Sequence[str],
    seeds: Sequence[int],
    checkpoints: Mapping[str, str],
) -> None:
    """Errors: UsageError for no seed, and for a name that is no row, column or method of the table."""
    if not seeds:
        raise UsageError("no training seed", "--train-seeds is empty", "give at least one, as --train-seeds 0")
    for row in rows:
        if row not in spec.rows:
            raise registry.unknown(f"row of {spec.id}", row, spec.rows, "leave --rows out for all of them")
    for reward in rewards:
        if reward not in track.rewards:
            raise registry.unknown(f"column of {spec.id}", reward, track.rewards, "leave --rewards out for all of them")
    known = dict.fromkeys([*spec.rows, *(row.method for row in spec.rows.values() if row.method)])
    for word in checkpoints:
        if word not in known:
            raise registry.unknown(f"row or method of {spec.id}", word, known, "--checkpoint METHOD=ID")


def _columns(track: Track, quick: bool, shared: bool) -> Sequence[str]:
    """Returns the columns of a table, or of its quick form, where nobody named any."""
    if not quick:
        return list(track.rewards)
    return track.quick_rewards or (list(track.rewards) if shared else list(track.rewards)[:1])


def _columns_share_trainings(spec: Spec, track: Track) -> bool:
    """Returns True where no row's training depends on the column, so that all columns measure the same trainings."""
    return track.train_reward is not None or all(row.reward for row in spec.rows.values() if row.method)


def training_reward(row: Row, track: Track, group: str = "") -> str:
    """Returns the reward of a row's trainings: the row's own, else the track's, else the column's (``group``).

    A row may name a published column; it then trains on our reward that stands beside this column.
    """
    if row.reward is None:
        return track.train_reward or group
    by_column = {column: reward for reward, column in track.rewards.items()}
    return by_column.get(row.reward) or lookup.resolve(row.reward, track.model)[0]


def _training(
    name: str, row: Row, track: Track, reward: str, seed: int, store: Path, samples: int | None, stopped: bool
) -> PlannedTraining:
    """Returns one training, of ``samples`` images or as many as its rollouts need beyond them.

    An offline method learns from the track's pairs. None: the samples of the row, the preset or the track. A row's
    factor multiplies either. A training that is stopped in time keeps its weights several times.
    """
    overrides = (*row.set, *track.set.get(name, ()))
    method = row.method or ""
    check(method, track.model, 1, seed, None, overrides)  # before the method's code is loaded, and torch with it
    offline = registry.get("methods", method).data == "offline"
    preset = preset_values(method, default_preset(method, track.model)) if offline else {}
    config = load(
        method,
        track.model,
        reward,
        track.train_prompts,
        (samples or row.samples or preset.get("samples", {}).get("value", track.samples)) * row.times,
        seed,
        overrides=overrides,
        pairs=track.pairs if offline else None,
    )
    images = config.method_class.images(config.method_config)
    config = config.model_copy(update={"samples": -(-config.samples // images) * images})
    if stopped and not config.train.keep_every:
        every = every_checkpoint(config.samples)
        config = config.model_copy(update={"train": config.train.model_copy(update={"keep_every": every})})
        overrides = (*overrides, f"train.keep_every={every}")
    run_id = runs.run_id(method, track.model, reward, seed, config.identity)
    return PlannedTraining(name, config, overrides, store / "runs" / run_id)


def unsuitable_reward(config: RunConfig) -> str | None:
    """Returns the reason why a method cannot train on its reward, or None."""
    needs, reward_class = config.method_class.needs(config.method_config), lookup.get(config.reward)
    if "reward_gradient" in needs and not reward_class.differentiable:
        return "it follows the reward's gradient, and this reward has none"
    if "step_scorer" in needs and not issubclass(reward_class, StepScorer):
        return "it needs a step-aware reward, and this reward is not one"
    return lookup.unfit(reward_class, config.model)

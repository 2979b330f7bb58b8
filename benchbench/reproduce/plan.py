"""What a table needs: trainings and measurements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchbench import prompts as prompt_sets
from benchbench import registry
from benchbench.config import RunConfig, default_preset, load, preset_values
from benchbench.errors import BenchError, UsageError
from benchbench.reproduce.spec import Block, Row, Spec, Track
from benchbench.rewards import lookup
from benchbench.store import runs
from benchbench.types import StepScorer


@dataclass(frozen=True)
class PlannedTraining:
    """One run, into the store's own folder for its settings, and the words of ``--set`` that made them."""

    row: str
    config: RunConfig
    overrides: tuple[str, ...]
    out: Path

    @property
    def done(self) -> bool:
        return runs.read(self.out).state == "complete" if self.out.exists() else False


@dataclass(frozen=True)
class PlannedMeasurement:
    """A protocol on one row's trainings, on one prompt set: what one process makes."""

    row: str
    group: str  # the reward of the trainings, or "" where the columns share them
    rewards: tuple[str, ...]
    runs: tuple[str, ...]  # folders of runs or names of checkpoints; none: the base model
    block: Block

    @property
    def prompts(self) -> str:
        return self.block.prompts

    @property
    def images(self) -> int:
        """Images that it looks at."""
        known = prompt_sets.index().get(prompt_sets.find(self.prompts) or "")
        count = known.count if known else len(prompt_sets.load(self.prompts))
        return count * self.block.images * max(1, len(self.runs))


@dataclass(frozen=True)
class Plan:
    """All that is to be there when the table is."""

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
    dtype: str = "auto"  # of the measurements

    @property
    def groups(self) -> tuple[str, ...]:
        """Each column's reward where it has trainings of its own, else one group without a name."""
        return tuple(dict.fromkeys(m.group for m in self.measurements))

    @property
    def blocks(self) -> tuple[Block, ...]:
        return tuple(self.track.blocks)

    @property
    def on_paper_track(self) -> bool:
        """Whether this is the paper's own model, where values and not only orders can be compared."""
        return self.track_name == self.spec.paper_track

    def published(self, block: Block) -> dict[tuple[str, str], float]:
        """The paper's values beside a block by (row, published column), in the unit that ours are in; often none.

        A time beside that of another model on another machine would say nothing, so elsewhere there is none.
        """
        if not block.published or (self.spec.protocol == "cost" and not self.on_paper_track):
            return {}
        values = self.spec.values(block.published)
        if self.spec.protocol == "cost":
            minutes = "minutes_per_optimizer_step"
            return {(row, "s / step"): 60 * value for (row, column), value in values.items() if column == minutes}
        if self.spec.protocol == "win-rate":  # printed in %
            return {at: value / 100 for at, value in values.items()}
        return values


def make_plan(
    spec: Spec,
    name: str,
    track: Track,
    store: Path,
    *,
    rows: Sequence[str] | None = None,
    seeds: Sequence[int] = (0,),
    quick: bool = False,
    checkpoints: Mapping[str, str] | None = None,
) -> Plan:
    """Returns what a table needs on a track. A row that cannot be made is skipped, with the reason.

    ``checkpoints`` puts a run, an adapter or a released checkpoint in the place of a row's or a method's trainings.
    Errors: UsageError (unknown row), and those of the configuration.
    """
    for row in rows or ():
        if row not in spec.rows:
            raise registry.unknown(f"row of {spec.id}", row, spec.rows, "leave --rows away for all of them")
    for word in checkpoints or ():
        known = dict.fromkeys([*spec.rows, *(row.method for row in spec.rows.values() if row.method)])
        if word not in known:
            raise registry.unknown(f"row or method of {spec.id}", word, known, "--checkpoint METHOD=ID")
    wanted = rows or (track.quick_rows if quick else ())
    chosen = tuple(row for row in spec.rows if not wanted or row in wanted or spec.rows[row].method is None)
    shared = _shares(spec, track)
    columns = track.quick_rewards or (list(track.rewards) if shared else list(track.rewards)[:1])
    rewards = tuple(columns if quick else track.rewards)
    used = tuple(seeds[:1] if quick else seeds)
    if not used:
        raise UsageError("no training seed", "--train-seeds is empty", "give at least one, as --train-seeds 0")
    trainings: dict[Path, PlannedTraining] = {}
    measurements, skipped = [], []
    for group in ("",) if shared else rewards:
        for row in chosen:
            what = spec.rows[row]
            reward = trained_on(what, track, group)
            named = (checkpoints or {}).get(row) or (checkpoints or {}).get(what.method or "") or what.checkpoint
            folders: list[str] = [named] if named else []
            if what.method and not named and spec.protocol != "cost":
                why = track.unavailable.get(row)
                made = [] if why else [_training(row, what, track, reward, seed, store) for seed in used]
                why = why or _cannot(made[0].config)
                if why:
                    skipped.append(f"{row}{'' if shared else f' on {reward}'}: {why}")
                    continue
                trainings |= {one.out: one for one in made if one.out not in trainings}
                folders = [str(one.out) for one in made]
            scored = rewards if shared else (group,)
            measurements += [PlannedMeasurement(row, group, scored, tuple(folders), block) for block in track.blocks]
    parts = tuple(trainings.values()), tuple(measurements), tuple(dict.fromkeys(skipped))
    return Plan(spec, name, track, chosen, rewards, used, quick, *parts)


def _shares(spec: Spec, track: Track) -> bool:
    """Whether several columns are measured on the same trainings: no row's training depends on the column."""
    return track.train_reward is not None or all(row.reward for row in spec.rows.values() if row.method)


def trained_on(row: Row, track: Track, group: str = "") -> str:
    """The reward of a row's trainings: its own (a published column means ours beside it), the track's, the column's."""
    if row.reward is None:
        return track.train_reward or group
    ours = {column: reward for reward, column in track.rewards.items()}
    return ours.get(row.reward) or lookup.resolve(row.reward, track.model)[0]


def _training(row: str, what: Row, track: Track, reward: str, seed: int, store: Path) -> PlannedTraining:
    """An offline method looks at as many images as its preset says; what it learns from is the track's pairs."""
    overrides = (*what.set, *track.set.get(row, ()))
    method = what.method or ""
    offline = registry.get("methods", method).data == "offline"
    own = preset_values(method, default_preset(method, track.model)).get("samples", {}) if offline else {}
    config = load(
        method,
        track.model,
        reward,
        track.train_prompts,
        own.get("value", track.samples) * what.times,
        seed,
        overrides=overrides,
        pairs=track.pairs if offline else None,
    )
    name = runs.run_id(method, track.model, reward, seed, config.identity)
    return PlannedTraining(row, config, overrides, store / "runs" / name)


def _cannot(config: RunConfig) -> str | None:
    needs, judge = config.method_class.needs(config.method_config), lookup.get(config.reward)
    if "reward_gradient" in needs and not judge.differentiable:
        return "it follows the reward's gradient, and this reward has none"
    if "step_scorer" in needs and not issubclass(judge, StepScorer):
        return "it is judged by a step-aware model, and this reward is none"
    return None


def missing(plan: Plan) -> Iterator[str]:
    """Weights and prompts that are not on this machine, each with the command that gets it."""
    from benchbench.hub import models

    if said := models.missing(plan.track.model):
        yield said
    wanted = [*plan.rewards, *(t.config.reward for t in plan.trainings), *filter(None, [plan.track.gold])]
    for name in dict.fromkeys(wanted):
        try:
            lookup.require(name)
        except BenchError as error:
            yield f"{error.problem}: {error.remedy}"
    learnt = [*(t.config.pairs for t in plan.trainings), plan.track.pairs if plan.spec.protocol == "cost" else None]
    for pairs in dict.fromkeys(filter(None, learnt)):
        from benchbench.evaluate.make_pairs import look_up_pairs

        try:
            look_up_pairs(pairs)
        except BenchError as error:
            yield f"{error.problem}: {error.remedy}"
    for prompts in dict.fromkeys([plan.track.train_prompts, *(block.prompts for block in plan.blocks)]):
        if said := prompt_sets.missing(prompt_sets.find(prompts) or prompts):
            yield f"the prompt set {prompts} is {said}"

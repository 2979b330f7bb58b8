"""What a table needs: trainings and measurements, each an idempotent command of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchbench import prompts as prompt_sets
from benchbench import registry
from benchbench.api import StepScorer
from benchbench.config import RunConfig, load
from benchbench.errors import UsageError
from benchbench.papers.spec import Spec, Track
from benchbench.store import runs


@dataclass(frozen=True)
class Training:
    """One run, into the store's own folder for its settings."""

    row: str
    config: RunConfig
    out: Path

    @property
    def done(self) -> bool:
        return runs.read(self.out).state == "complete" if self.out.exists() else False


@dataclass(frozen=True)
class Measurement:
    """Images and scores of one row's trainings on one reward, on one prompt set."""

    row: str
    reward: str
    runs: tuple[Path, ...]  # none: the base model
    prompts: str
    images_per_prompt: int


@dataclass(frozen=True)
class Plan:
    """All that is to be there when the table is."""

    spec: Spec
    track: Track
    rows: tuple[str, ...]
    rewards: tuple[str, ...]
    seeds: tuple[int, ...]
    quick: bool
    trainings: tuple[Training, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    skipped: tuple[str, ...] = field(default=())

    def seconds(self) -> float:
        """An estimate of the work left, in seconds of one core; 0 where the track has no figures."""
        per = self.track.seconds_per_sample
        train = sum(t.config.samples * per.get(t.row, 0.0) for t in self.trainings if not t.done)
        return train + sum(self.images(m) for m in self.measurements) * self.track.seconds_per_image

    @staticmethod
    def images(measurement: Measurement) -> int:
        """Images that a measurement looks at."""
        count = len(prompt_sets.load(measurement.prompts)) * measurement.images_per_prompt
        return count * max(1, len(measurement.runs))


def plan(
    spec: Spec, track: Track, store: Path, *, rows: Sequence[str] | None, seeds: Sequence[int], quick: bool
) -> Plan:
    """The cells of a table on a track. A method that cannot train on a reward is skipped, with the reason.

    Errors: UsageError (unknown row), and those of the configuration.
    """
    if rows:
        for row in rows:
            if row not in spec.rows:
                raise registry.unknown(f"row of {spec.id}", row, spec.rows, "leave --rows away for all of them")
    chosen = tuple(row for row in spec.rows if not rows or row in rows or spec.rows[row] is None)
    rewards = tuple(track.quick_rewards if quick else track.rewards)
    used = tuple(seeds[:1] if quick else seeds)
    if not used:
        raise UsageError("no training seed", "--train-seeds is empty", "give at least one, as --train-seeds 0")
    trainings, measurements, skipped = [], [], []
    blocks = [(track.train_prompts, track.images_per_prompt)]
    if track.held_out_prompts:
        blocks.append((track.held_out_prompts, track.held_out_images_per_prompt))
    for reward in rewards:
        for row in chosen:
            method, folders = spec.rows[row], []
            if method is not None:
                why = _cannot(method, reward)
                if why:
                    skipped.append(f"{row} on {reward}: {why}")
                    continue
                for seed in used:
                    config = load(method, track.model, reward, track.train_prompts, track.samples, seed)
                    out = (
                        store / "runs" / runs.run_id(method, track.model, reward, seed, config.model_dump(mode="json"))
                    )
                    trainings.append(Training(row, config, out))
                    folders.append(out)
            measurements += [Measurement(row, reward, tuple(folders), name, n) for name, n in blocks]
    return Plan(spec, track, chosen, rewards, used, quick, tuple(trainings), tuple(measurements), tuple(skipped))


def _cannot(method: str, reward: str) -> str | None:
    kind, judge = registry.get("methods", method), registry.get("rewards", reward)
    needs = kind.needs(kind.Config())
    if "reward_gradient" in needs and not judge.differentiable:
        return "it follows the reward's gradient, and this reward has none"
    if "step_scorer" in needs and not issubclass(judge, StepScorer):
        return "it is judged by a step-aware model, and this reward is none"
    return None

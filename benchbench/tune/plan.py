"""The trainings and measurements of a search, as the plan of a table, which every backend and `bench status` know."""

from __future__ import annotations

from pathlib import Path

from benchbench.reproduce.kept import kept_at, kept_folder
from benchbench.reproduce.plan import Plan, PlannedMeasurement, PlannedTraining
from benchbench.reproduce.spec import Block, Row, Spec, Track
from benchbench.store import runs
from benchbench.tune.search import IMAGES, Search

BASE = "base"


def row_name(rate: float, samples: int) -> str:
    """Returns the name of the row of a rate's trainings after so many images."""
    return f"lr {rate:g}, {samples} images"


def make_plan(search: Search, store: Path) -> Plan:
    """Returns the plan of a search. Errors: those of the configuration."""
    trainings: list[PlannedTraining] = []
    rewards = (search.reward, *([search.guard] if search.guard else []))
    block = Block(prompts=search.validation, images=IMAGES)
    measurements = [PlannedMeasurement(BASE, "", rewards, (), block)]
    for rate in search.rates:
        of_rate = [_training(search, rate, seed, store) for seed in search.seeds]
        trainings += of_rate
        for samples in kept_at(of_rate[0].config):
            kept = tuple(str(kept_folder(t.out, samples)) for t in of_rate)
            job = f"the checkpoints of lr {rate:g}"
            measurements.append(PlannedMeasurement(row_name(rate, samples), "", rewards, kept, block, job=job))
    track = Track(
        model=search.model,
        train_prompts=search.prompts,
        samples=search.budget.samples,
        blocks=[block],
        rewards={reward: reward for reward in rewards},
        train_reward=search.reward,
        pairs=search.pairs,
    )
    spec = Spec(
        id=search.name,
        title=f"The search for the learning rate of {search.method}",
        source="A search, bench tune",
        about="",
        published=None,
        paper_track="",
        rows={BASE: Row()},
        tracks={search.model: track},
        file=str(search.file(store)),
    )
    parts = tuple(trainings), tuple(measurements)
    return Plan(spec, search.model, track, (BASE,), rewards, search.seeds, False, *parts)


def _training(search: Search, rate: float, seed: int, store: Path) -> PlannedTraining:
    config, words = search.training(rate, seed)
    run_id = runs.run_id(config.method, config.model, config.reward, seed, config.identity)
    return PlannedTraining(f"lr {rate:g}", config, words, store / "runs" / run_id)

"""The learning-rate search for the shapes presets: ``python results/tune_shapes.py --jobs 2``.

Every method has the same grid, at half the tables' size and on seeds that no table uses. The rate with the highest mean
reward in the fixed evaluation wins, among those that keep the oracle: at a high rate every method reaches a high reward
with pictures that no longer show what their prompts say. The record is results/shapes/tuning.csv.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from benchbench.config import load
from benchbench.errors import BenchError
from benchbench.reproduce.train_command import train_command, training_log
from benchbench.runtime.jobs import Job, LocalBackend, run
from benchbench.store import root, runs
from benchbench.store.metrics import read_metrics

METHODS = ("ddpo", "d3po", "tailorpo", "tailorpo-g")
RATES = (1e-3, 3e-3, 6e-3, 1e-2)
SEEDS = (100, 101)
SAMPLES = 192
ORACLE_LOSS = 0.05  # the mean oracle of the winning rate falls by at most this much
REWARD, PROMPTS = "shapes-colour", "shapes-simple"
COLUMNS = (
    *("method", "lr", "seed", "samples", "reward"),
    *("reward_before", "reward_after", "oracle_before", "oracle_after", "seconds"),
)


def search(store: Path, slots: int, rates: Sequence[float], samples: int) -> list[dict[str, Any]]:
    """Trains the missing part of the grid and returns a row for each training. Errors: those of a training."""
    jobs, grid = [], []
    for method, rate, seed in product(METHODS, rates, SEEDS):
        override = f"train.lr={rate:g}"
        config = load(method, "shapes", REWARD, PROMPTS, samples, seed, overrides=[override])
        out = store / "runs" / runs.run_id(method, "shapes", REWARD, seed, config.identity)
        grid.append((method, rate, seed, out))
        if not out.exists() or runs.read(out).state != "complete":
            command = train_command(config, [override], out, store)
            jobs.append(Job(f"{method} lr {rate:g} seed {seed}", command, training_log(out, store)))
    if failures := run(jobs, LocalBackend(slots), "trainings"):
        raise failures[0].error
    return [_row(samples, *training) for training in grid]


def _row(samples: int, method: str, rate: float, seed: int, out: Path) -> dict[str, Any]:
    """Returns the row of a training, with reward and oracle of its first and last fixed evaluation."""
    evaluations = [row for row in read_metrics(out) if "eval.reward" in row]
    numbers = [evaluations[i][f"eval.{name}"] for name in ("reward", "oracle") for i in (0, -1)]
    values = (
        method,
        rate,
        seed,
        samples,
        REWARD,
        *(round(number, 4) for number in numbers),
        round(evaluations[-1]["seconds"], 1),
    )
    return dict(zip(COLUMNS, values, strict=True))


def best(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Returns the winning rate of each method, as the top of this file defines it. Means are over the seeds."""
    trainings: dict[tuple[str, float], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        trainings[row["method"], row["lr"]].append(row)
    winners: dict[str, tuple[float, float]] = {}
    for (method, rate), seeds in trainings.items():
        reward = fmean(row["reward_after"] for row in seeds)
        oracle_loss = fmean(row["oracle_before"] - row["oracle_after"] for row in seeds)
        if oracle_loss <= ORACLE_LOSS and (method not in winners or reward > winners[method][1]):
            winners[method] = rate, reward
    return {method: rate for method, (rate, _) in winners.items()}


def main() -> int:
    """Runs the search, writes the table and prints the winning rates. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--store", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=Path("results/shapes/tuning.csv"))
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    options = parser.parse_args()
    count = len(METHODS) * len(options.rates) * len(SEEDS)
    print(f"{count} trainings of {options.samples} images; the table goes to {options.out}")
    try:
        rows = search(root(options.store), options.jobs, options.rates, options.samples)
    except BenchError as error:
        print(error, file=sys.stderr)
        return error.code
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for method, rate in best(rows).items():
        print(f"{method}: train.lr={rate:g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

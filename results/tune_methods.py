"""Searches the learning rates of the sweeps in results/sweeps.

``python results/tune_methods.py METHOD... --reward REWARD`` makes each search by ``bench tune`` with three rates and
one seed. The best rate is that with the highest F(.2) on the validation prompts, since this is the number that the
sweeps are about: the mean, over losses of the oracle of 0, .02, ..., .2, of the gain at the best checkpoint that loses
no more. The preset that ``bench tune`` writes follows from a single loss, .05, and may have another rate. Where the
best rate is the lowest or the highest of those tried, the next one of the grid is searched, too, until it is not. The
records lie in results/tuning.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchbench.errors import BenchError
from benchbench.runtime.backends.choice import BackendChoice
from benchbench.runtime.files import write_atomic
from benchbench.runtime.yaml_files import read_yaml
from benchbench.stats.frontier import START, Validated, choose
from benchbench.store import root
from benchbench.tune.run import tune
from benchbench.tune.search import RATES, make_search

HERE = Path("results/tuning")
VALIDATION = HERE / "validation-50.txt"
"""The first 50 prompts of shapes-complex.validation."""
SEEDS = (100,)
FIRST = RATES[1:4]
GRID = (1.25e-4, 2.5e-4, *RATES)
Trial = Callable[[Sequence[float]], dict[float, float]]


def search(trial: Trial) -> dict[float, float]:
    """Returns F(.2) by rate, for the rates that were searched. ``trial`` returns it for some rates."""
    rates = list(FIRST)
    while True:
        found = trial(rates)
        place = GRID.index(max(found, key=lambda rate: found[rate]))
        if GRID[place] == min(rates) and place > 0:
            rates.insert(0, GRID[place - 1])
        elif GRID[place] == max(rates) and place < len(GRID) - 1:
            rates.append(GRID[place + 1])
        else:
            return found


def by_rate(record: Mapping[str, Any]) -> dict[float, float]:
    """Returns F(.2) on the validation prompts by rate, in the unit of the reward, from the record of a search."""
    found = {}
    for rate in record["settings"]["rates"]:
        tried = {t["samples"]: Validated(t["gain"], t["fall"]) for t in record["tried"] if t["lr"] == rate}
        gains = {START: 0.0} | {samples: point.gain for samples, point in tried.items()}
        found[float(rate)] = fmean(gains[samples] for samples in choose(tried))
    return found


def searched(
    method: str, model: str, reward: str, store: Path, jobs: int, pairs: str | None = None
) -> dict[float, float]:
    """Searches one method, writes its record and returns F(.2) by rate. Errors: those of ``bench tune``.

    An offline method learns from ``pairs``; the images of those that are made for it are a part of its work.
    """
    out = HERE / f"{method}-{model}-{reward}.yaml"

    def trial(rates: Sequence[float]) -> dict[float, float]:
        wanted = make_search(
            method,
            model,
            reward,
            validation=str(VALIDATION),
            rates=rates,
            seeds=SEEDS,
            pairs=pairs,
            count_pairs=True,
        )
        earlier = wanted.file(store).with_name(f"{wanted.name}.preset.yaml")
        earlier.unlink(missing_ok=True)  # one with the same choice would stay, and may lack a rate that had failed
        preset = tune(wanted, store, where=BackendChoice(jobs=jobs))
        assert preset is not None
        text = preset.read_text(encoding="utf-8")
        write_atomic(out, text.encode())  # takes the place of the record of a search with fewer rates
        return by_rate(read_yaml(text)["record"])

    return search(trial)


def main() -> int:
    """Searches each method in turn and prints F(.2) by rate. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("methods", nargs="+")
    parser.add_argument("--model", default="shapes")
    parser.add_argument("--reward", required=True)
    parser.add_argument("--pairs", help="what offline methods learn from, as made:shapes-simple:shapes-colour:8")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--store", type=Path, default=None)
    asked = parser.parse_args()
    for method in asked.methods:
        try:
            found = searched(method, asked.model, asked.reward, root(asked.store), asked.jobs, asked.pairs)
        except BenchError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.code
        except KeyboardInterrupt:
            print("interrupted; the same command goes on", file=sys.stderr)
            return 130
        print(f"{method}: {', '.join(f'F(.2) {value:.3g} at {rate:g}' for rate, value in found.items())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

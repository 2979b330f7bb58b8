"""Searches the learning rates of the sweeps in results/sweeps.

``python results/tune_methods.py METHOD... --reward REWARD`` makes each search by ``bench tune`` with three rates and
one seed. Where the best rate is the lowest or the highest of them, the next one of the grid is searched, too, until it
is not. A search without a winner has lost the oracle at each rate, so that a lower one is searched. The records lie in
results/tuning, from which the sweeps have their rates.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchbench import presets
from benchbench.errors import BenchError, RunError
from benchbench.runtime.backends.choice import BackendChoice
from benchbench.runtime.yaml_files import read_yaml
from benchbench.store import root
from benchbench.tune.run import tune
from benchbench.tune.search import RATES, make_search

HERE = Path("results/tuning")
VALIDATION = HERE / "validation-50.txt"
"""The first 50 prompts of shapes-complex.validation."""
SEEDS = (100,)
FIRST = RATES[1:4]
Trial = Callable[[Sequence[float]], float | None]


def search(trial: Trial) -> float | None:
    """Returns the best rate of the grid, and None where each loses the oracle.

    ``trial`` searches some rates and returns the best one of them, or None where there is none.
    """
    rates = list(FIRST)
    while True:
        best = trial(rates)
        place = RATES.index(min(rates) if best is None else best)
        if RATES[place] == min(rates) and place > 0:
            rates.insert(0, RATES[place - 1])
        elif RATES[place] == max(rates) and place < len(RATES) - 1:
            rates.append(RATES[place + 1])
        else:
            return best


def searched(method: str, model: str, reward: str, store: Path, jobs: int) -> float | None:
    """Searches one method and writes its record. Errors: those of ``bench tune`` but that of no winner."""
    out = HERE / f"{method}-{model}-{reward}.yaml"

    def trial(rates: Sequence[float]) -> float | None:
        wanted = make_search(method, model, reward, validation=str(VALIDATION), rates=rates, seeds=SEEDS)
        out.unlink(missing_ok=True)  # the record of a search with fewer rates
        try:
            tune(wanted, store, out=out, where=BackendChoice(jobs=jobs))
        except RunError as error:
            if error.problem == "the search has no winner":
                return None
            raise
        found = read_yaml(out.read_text(encoding="utf-8"))
        return float(found["preset"][presets.RATE]["value"])

    return search(trial)


def main() -> int:
    """Searches each method in turn and prints its rate. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("methods", nargs="+")
    parser.add_argument("--model", default="shapes")
    parser.add_argument("--reward", required=True)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--store", type=Path, default=None)
    asked = parser.parse_args()
    for method in asked.methods:
        try:
            rate = searched(method, asked.model, asked.reward, root(asked.store), asked.jobs)
        except BenchError as error:
            print(error, file=sys.stderr)
            return error.code
        print(f"{method}: {'no rate keeps the oracle' if rate is None else f'train.lr={rate:g}'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

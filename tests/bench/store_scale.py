"""Writes stores of synthetic records in the real layout and times the commands that look through them.

    python -m tests.bench.store_scale --rows 20 --prompts 500 --images 10 --runs 10000 FOLDER

The pictures are valid and tiny, and the runs have the real run.json, done.json, metrics and weights of a few bytes.
Every time is that of a second look in a new process, after the imports: the store is known, and nothing is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchbench.evaluate.evaluated_model import EvaluatedModel, ImageGenerator
from benchbench.evaluate.generate import generate
from benchbench.evaluate.measure import prepare
from benchbench.hub import models
from benchbench.noise import Noise, Sample
from benchbench.prompt_set import PromptSet
from benchbench.rewards import lookup
from benchbench.runtime.hashing import file_sha256
from benchbench.runtime.sealed import seal, write_sealed
from benchbench.store.run_file import DONE, RUN, settings_digest
from benchbench.store.runs import ADAPTER, find_adapter
from benchbench.store.scores import ScoreStore, score_frame

REWARDS = ("jpeg_compressibility", "shapes-colour")
TIMED_EVALUATION = """
import json, sys, time
from functools import partial
from pathlib import Path
from benchbench.evaluate import generate, lazy_model, measure, report, score
from tests.bench.store_scale import REWARDS, adapters, prompt_set, walk_cpu
store, rows, prompts, images = Path(sys.argv[1]), *map(int, sys.argv[2:5])
spent = {}
def timed(module, name):
    function = getattr(module, name)
    def call(*args, **kwargs):
        start, cpu = time.perf_counter(), time.process_time()
        try:
            return function(*args, **kwargs)
        finally:
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - start
            spent[f"{name} cpu"] = spent.get(f"{name} cpu", 0.0) + time.process_time() - cpu
    setattr(module, name, call)
timed(measure, "generate"), timed(measure, "score"), timed(report, "evaluate")
import pyarrow.parquet, scipy.stats, torch
result = report.evaluate("shapes", adapters(store, rows), prompt_set(prompts), REWARDS, store=store,
                         images_per_prompt=images, device="cpu", log=lambda line: None)
page = (result.folder / "report.html").stat().st_size
spent["walk cpu"] = walk_cpu(store / "images")
print(json.dumps({**spent, "page": page, "images": rows * prompts * images}))
"""
TIMED_LIST = """
import json, sys, time
from pathlib import Path
from benchbench.cli import list_rows
from tests.bench.store_scale import walk_cpu
start, cpu = time.perf_counter(), time.process_time()
rows = list_rows.runs(Path(sys.argv[1]))
spent = {"list": time.perf_counter() - start, "list cpu": time.process_time() - cpu}
spent["walk of runs cpu"] = walk_cpu(Path(sys.argv[1]) / "runs")
print(json.dumps({**spent, "runs": len(rows)}))
"""


def walk_cpu(folder: Path) -> float:
    """Returns the seconds of CPU time that asking the system for each file of a folder takes, the least of two times.

    Nothing that looks for changes can do less, so that a ratio to it says the same on a slow machine as on a fast one.
    """

    def once() -> float:
        start = time.process_time()
        for parent, _, files in os.walk(folder):
            for name in files:
                os.stat(os.path.join(parent, name))
        return time.process_time() - start

    return min(once(), once())


def prompt_set(count: int) -> PromptSet:
    """Returns a set of short different prompts."""
    return PromptSet("synthetic", tuple(f"a red square above blue circle number {i}" for i in range(count)), "", "")


def adapters(store: Path, rows: int) -> list[Path]:
    """Returns the folders of weights of all rows but the first, which is the base model."""
    return [store.parent / "weights" / f"row{row:02d}" for row in range(1, rows)]


def write_images(store: Path, rows: int, prompts: int, images: int, side: int = 8) -> None:
    """Writes the pictures and scores of an evaluation with ``rows`` rows, ``images`` pictures a prompt each."""
    folders, prompt_list = adapters(store, rows), prompt_set(prompts)
    for number, folder in enumerate(folders):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ADAPTER).write_bytes(b"weights of row %d" % number)
    rewards = [lookup.as_class(name) for name in REWARDS]
    named: dict[str, list[Path]] = {"base": [], **{folder.name: [folder] for folder in folders}}
    options: dict[str, Any] = {"store": store, "device": "cpu", "log": lambda line: None}
    conditions = prepare("shapes", named, prompt_list, rewards, **options).conditions

    def draw(samples: Sequence[Sample], noise: Noise) -> np.ndarray:
        rng = np.random.default_rng(samples[0].index)
        return rng.integers(0, 256, (len(samples), side, side, 3), dtype=np.uint8)

    for label, references in named.items():
        content_hash = find_adapter(store, references[0]).hash if references else None
        (made,) = generate(
            EvaluatedModel(label, models.find("shapes").hash, content_hash, lambda: ImageGenerator(draw, 1)),
            prompt_list,
            sampler=conditions.sampler,
            dtype=conditions.dtype,
            images_per_prompt=images,
            eval_seeds=[0],
            store=store,
            batch_size=64,
            made_on={},
            log=lambda line: None,
        )
        for reward in rewards:
            columns = {"reward": reward.name, "version": reward.version, "unit": reward.unit, "eval_seed": 0}
            scored = [
                {**columns, "prompt_index": s.index, "prompt": s.prompt, "sample": s.number, "image_sha256": i.sha256}
                for s, i in made.entries.items()
            ]
            values = np.random.default_rng(len(label)).random(len(scored))
            table = [{**row, "score": value} for row, value in zip(scored, values, strict=True)]
            ScoreStore(store, made.images.id, reward).write(score_frame(table))


def write_runs(store: Path, count: int) -> None:
    """Writes ``count`` finished runs of small weights, every tenth of them unfinished."""
    for number in range(count):
        folder = store / "runs" / f"ddpo-shapes-shapes-colour-s{number}-{number:08x}"
        folder.mkdir(parents=True)
        settings = {"schema": 1, "method": "ddpo", "seed": number, "samples": 384, "train": {"lr": 1e-4, "batch": 8}}
        run = {"id": folder.name, "model_hash": "0" * 64, "config": settings, "digest": settings_digest(settings)}
        write_sealed(folder / RUN, {**run, "inputs": {"model": "0" * 64, "prompts": "1" * 64}})
        rows = [json.dumps(seal({"samples": 8 * (i + 1), "reward": 0.5, "loss": 0.1})) + "\n" for i in range(12)]
        (folder / "metrics.jsonl").write_text("".join(rows))
        if number % 10:
            (folder / ADAPTER).write_bytes(b"weights of run %d" % number)
            write_sealed(folder / DONE, {"samples": 384, "adapter_sha256": file_sha256(folder / ADAPTER)})


def measured(code: str, *words: object) -> dict[str, Any]:
    """Returns what a timing program prints, of its second run: the first one fills the caches."""
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code, *map(str, words)], stdout=subprocess.PIPE, check=True)
    values = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(values, dict)
    return values


def measure_store(store: Path, rows: int, prompts: int, images: int, runs: int) -> dict[str, Any]:
    """Writes a store, unless it is there, and returns the times of a repeated evaluation and of a list of its runs."""
    if not store.exists():
        write_images(store, rows, prompts, images)
        write_runs(store, runs)
    return {**measured(TIMED_EVALUATION, store, rows, prompts, images), **measured(TIMED_LIST, store)}


def main() -> None:
    """Prints the times as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for name, default in (("rows", 20), ("prompts", 500), ("images", 10), ("runs", 10_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    print(
        json.dumps(measure_store(options.folder / "store", options.rows, options.prompts, options.images, options.runs))
    )


if __name__ == "__main__":
    main()

"""What an iteration of training costs: time, peak memory, UNet evaluations, reward calls (DSPO, Table 3).

A training is run for a few iterations in a process of its own, in a folder that is thrown away, by the loop that trains
for real, without evaluations and checkpoints; pairs that it makes to learn from stay in the store. Its first iteration,
which warms caches up, is left out. An iteration is a rollout and its optimiser steps, or an optimiser step of an
offline method.

Time and memory belong to a machine and not to a method: rows are kept under the device, the threads and the versions of
the libraries, are taken again only where one of these is another, and carry them. Memory on a GPU is the most that
PyTorch had allocated; on a CPU it is the largest resident set of the whole process, interpreter and libraries included.
"""

from __future__ import annotations

import io
import itertools
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from benchbench import config as configs
from benchbench.errors import UsageError
from benchbench.hub.models import LocalModel
from benchbench.protocols.measurement import Measurement, MeasureSettings, Price, Published, Run
from benchbench.protocols.step_table import said
from benchbench.report.table import Cell, Column, Table, make_cell
from benchbench.runtime.files import Log, write_atomic
from benchbench.runtime.hashing import digest
from benchbench.runtime.job_process import run_job
from benchbench.runtime.jobs import Job, LocalBackend, run
from benchbench.stats import intervals
from benchbench.stats.intervals import LEVEL
from benchbench.store.measurements import MeasurementParts
from benchbench.types import PromptSet, Reward

MEASURED = ("seconds", "unet_evals", "unet_grads", "reward_calls")
PLAIN = {"unet_evals": "plain_evals", "unet_grads": "plain_grads"}


class CostSettings(MeasureSettings):
    """Whose training, and how much of it."""

    method: str = Field("tailorpo", description="bench list methods")
    iterations: int = Field(10, ge=2, description="after the first, which is left out")
    preset: str | None = Field(None, description="of the method; none: the model's")
    overrides: tuple[str, ...] = Field((), description="section.key=value, as of bench train --set")
    pairs: str | None = Field(None, description="what an offline method learns from, as of bench train --pairs")


class TrainingCost(Measurement[CostSettings]):
    """Time, memory and evaluations of a training's iterations."""

    name = "cost"
    schema = 2  # of 1, evaluations without guidance were not counted
    title = "Cost of training"
    paper = "DSPO (ICLR 2025), Table 3"
    compared = ("method", ("ddpo", "d3po", "spo", "tailorpo", "tailorpo-g"))
    Settings = CostSettings
    quick = CostSettings(iterations=2)

    def measure(
        self,
        model: str | LocalModel,
        run: Run,
        prompts: PromptSet,
        reward: str | type[Reward],
        settings: CostSettings,
        *,
        store: Path,
        device: str | None = None,
        dtype: str = "auto",
        log: Log = print,
    ) -> pd.DataFrame:
        """A row an iteration: images, steps (of the optimiser), MEASURED, and peak_gib of the whole process.

        Errors: UsageError (a run is named: what is measured is a method), those of training.
        """
        from benchbench.diffusion import backbones
        from benchbench.hub import models
        from benchbench.runtime.provenance import device_name, packages, record

        if run is not None:
            raise UsageError("the cost of a run cannot be measured", "it was trained already", "see its done.json")
        where, here = backbones.pick_device(device), models.find(model)
        named = reward if isinstance(reward, str) else reward.name
        made = self._config(here.name, prompts, named, settings, dtype)
        machine = {"device": device_name(str(where)), "packages": packages()}
        weights = {here.name: here.own_hash}
        key = {"schema": self.schema, "config": made.model_dump(mode="json"), "weights": weights, **machine}
        kept = MeasurementParts(store, self.name, key)
        log(f"cost of {settings.method} on {here}: {settings.iterations + 1} iterations on {machine['device']}")

        def compute() -> Any:
            return lambda start, stop: _train_apart(made, str(where), store)

        def ran() -> Mapping[str, Any]:
            return record({"protocol": self.name, **key}, weights, str(where))

        return kept.collect(1, 1, compute, ran, f"cost of {settings.method}", "trainings", log)

    def precision(self, dtype: str, device: str | None) -> str:
        """The word itself: ``auto`` leaves the choice to each method's training."""
        return dtype

    def _config(
        self, model: str, prompts: PromptSet, reward: str, settings: CostSettings, dtype: str
    ) -> configs.RunConfig:
        words = [*settings.overrides, f"train.dtype={dtype}", "train.eval_images=1"]
        words += ["train.eval_every=0", "train.eval_steps=0"]
        made = configs.load(
            settings.method, model, reward, prompts.name, 1_000_000, settings.seed, settings.preset, words,
            pairs=settings.pairs,
        )  # fmt: skip
        per = made.method_class.images(made.method_config)
        batch = max(made.train.batch // per, 1) * per  # images of an iteration
        samples = batch * (settings.iterations + 1)
        sampler = settings.sampler or made.sampler
        train = made.train.model_copy(update={"save_every": samples + 1})
        return made.model_copy(update={"samples": samples, "train": train, "sampler": sampler})

    def cost(self, settings: CostSettings, steps: int) -> Price:
        """Counted by a dry rollout of an online method; nothing is decoded in the count."""
        from benchbench.train.cost_estimate import price

        made = configs.load(
            settings.method, "shapes", "shapes-colour", "shapes-simple", 1_000_000, 0, settings.preset,
            [*settings.overrides, f"sampler.steps={steps}"],
        )  # fmt: skip
        one = price(made)
        n = one.images * (settings.iterations + 1)
        evals, grads, calls = (round(each * n) for each in (one.unet_evals, one.unet_grads, one.reward_calls))
        return Price(evals, grads, 0, calls, made.train.finetune)

    def table(
        self,
        frames: Mapping[str, pd.DataFrame],
        settings: CostSettings,
        about: str = "",
        *,
        name: str | None = None,
        published: Published | None = None,
        quick: bool = False,
        level: float = LEVEL,
    ) -> Table:
        """Columns: seconds and evaluations an image, the same an optimiser step, and peak memory; a row a method."""
        columns = {
            "s / image": ("seconds", "images"),
            "UNet / image": ("unet_evals", "images"),
            "UNet with gradient / image": ("unet_grads", "images"),
            "reward calls / image": ("reward_calls", "images"),
            "s / step": ("seconds", "steps"),
            "UNet / step": ("unet_evals", "steps"),
            "UNet with gradient / step": ("unet_grads", "steps"),
        }
        cells: dict[str, dict[str, Cell]] = {}
        for row, frame in frames.items():
            known = {key: (published or {}).get((row, key)) for key in [*columns, "peak GiB"]}
            cells[row] = {
                key: make_cell(
                    intervals.mean(frame.assign(prompt_index=frame.iteration, score=frame[a] / frame[b]), level)
                )
                for key, (a, b) in columns.items()
            }
            cells[row]["peak GiB"] = Cell(value=float(frame.peak_gib.max()))
            cells[row] = {key: found.model_copy(update={"published": known[key]}) for key, found in cells[row].items()}
        devices = ", ".join(sorted({str(device) for frame in frames.values() for device in frame.device}))
        caption = (
            f"{said(about)}Means over {settings.iterations} training iterations after the first, on {devices}; UNet: "
            f"guided evaluations, one without guidance is half of one. Times hold for this machine and for what else "
            f"it was doing. In brackets: {level:.0%} interval over iterations."
        )
        return Table(
            name=name or self.name,
            title=self.title,
            caption=caption,
            rows=tuple(frames),
            columns=tuple(Column(key=key) for key in [*columns, "peak GiB"]),
            cells=cells,
            quick=quick,
            ranked=False,
        )


def _train_apart(config: configs.RunConfig, device: str, store: Path) -> pd.DataFrame:
    """Returns the rows of a training in a new process, with as many threads as this one. Errors: the training's own."""
    import torch

    text = config.model_dump_json()
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.json"
        job = Job(
            "the training whose cost is measured",
            ("benchbench.protocols.cost", text, device, str(store), str(rows)),
            store / "logs" / f"cost-{digest(text)}.log",
            threads=torch.get_num_threads(),
            exclusive=True,
        )
        run([job], LocalBackend(1), stop_at_first=True)
        return pd.read_json(io.StringIO(rows.read_text(encoding="utf-8")), orient="records")


def measure_training() -> None:
    """In the process of its own: trains, and writes the rows as JSON into the file that is named last."""
    import resource

    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook

    from benchbench.runtime.provenance import device_name
    from benchbench.store.metrics import read_metrics
    from benchbench.train.loop import train

    made, device = configs.RunConfig.model_validate_json(sys.argv[1]), sys.argv[2]
    store, target = Path(sys.argv[3]), Path(sys.argv[4])
    steps = [0]  # of the optimiser so far, at the end of each iteration

    def counted(*_: Any) -> None:
        steps[0] += 1

    register_optimizer_step_post_hook(counted)
    out = train(made, target.parent / "run", device=device, store=store)
    rows = [row for row in read_metrics(out) if "loss" in row]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # KiB on Linux
    if device.startswith("cuda"):
        peak = torch.cuda.max_memory_allocated(device)
    each = steps[0] / len(rows)

    def half(name: str, row: Mapping[str, Any]) -> float:
        """Of the evaluations without guidance, as offline methods make them: half of a guided one."""
        return float(row[PLAIN[name]]) / 2 if name in PLAIN else 0.0

    told = [
        {
            "iteration": i,
            "images": now["samples"] - before["samples"],
            "steps": each,
            **{name: now[name] - before[name] + half(name, now) - half(name, before) for name in MEASURED},
            "peak_gib": peak / 2**30,
            "device": device_name(device),
        }
        for i, (before, now) in enumerate(itertools.pairwise(rows), 1)
    ]
    write_atomic(target, json.dumps(told).encode())


if __name__ == "__main__":
    sys.exit(run_job(measure_training))

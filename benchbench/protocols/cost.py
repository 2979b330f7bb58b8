"""The cost of a training iteration: time, peak memory, network evaluations, reward calls (DSPO, Table 3).

The training loop runs for a few iterations in a process of its own, in a temporary folder, without evaluations and
checkpoints; pairs that it makes to learn from stay in the store. The first iteration, which warms up caches, is left
out. An iteration is a rollout with its optimizer steps, or one optimizer step of an offline method.

Time and memory depend on the machine, not only on the method. Rows are therefore stored under the device, the threads
and the versions of the libraries, and name them. Memory on a GPU is the most that PyTorch had allocated; on a CPU it is
the largest resident set of the whole process, interpreter and libraries included.
"""

from __future__ import annotations

import io
import itertools
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pydantic import Field
from torch.optim.optimizer import register_optimizer_step_post_hook

from benchbench import config as configs
from benchbench import prompts as prompt_sets
from benchbench.errors import UsageError
from benchbench.evaluate.measure import device_and_dtype
from benchbench.hub import models
from benchbench.hub.models import LocalModel
from benchbench.prompt_set import metadata
from benchbench.protocols.base import PaperProtocol, ProtocolCost, ProtocolSettings, Request
from benchbench.protocols.step_table import TableStyle
from benchbench.report.table import Cell, Column, Table, make_cell
from benchbench.rewards import lookup
from benchbench.rewards.http_address import is_served
from benchbench.runtime.files import write_atomic
from benchbench.runtime.job_process import run_job
from benchbench.runtime.jobs import Job, LocalBackend, run
from benchbench.runtime.provenance import device_name, packages, record
from benchbench.stats import intervals
from benchbench.store.measurements import MeasurementStore
from benchbench.store.metrics import read_metrics
from benchbench.train.cost_estimate import rollout_cost
from benchbench.train.identity import identify
from benchbench.train.inputs import look_up
from benchbench.train.loop import train
from benchbench.types import PromptSet

MEASURED = ("seconds", "unet_evals", "unet_grads", "reward_calls")
UNGUIDED = {"unet_evals": "plain_evals", "unet_grads": "plain_grads"}  # the same counts of evaluations without guidance
RATIOS = {
    "s / image": ("seconds", "images"),
    "network / image": ("unet_evals", "images"),
    "network with gradient / image": ("unet_grads", "images"),
    "reward calls / image": ("reward_calls", "images"),
    "s / step": ("seconds", "steps"),
    "network / step": ("unet_evals", "steps"),
    "network with gradient / step": ("unet_grads", "steps"),
}


class CostSettings(ProtocolSettings):
    """The method that is trained, and for how many iterations."""

    method: str = Field("tailorpo", description="bench list methods")
    iterations: int = Field(10, ge=2, description="after the first, which is left out")
    preset: str | None = Field(None, description="of the method; none: the model's")
    overrides: tuple[str, ...] = Field((), description="section.key=value, as of bench train --set")
    pairs: str | None = Field(None, description="what an offline method learns from, as of bench train --pairs")


class TrainingCost(PaperProtocol[CostSettings]):
    """Time, memory and evaluations of a training's iterations."""

    name = "cost"
    schema = 2  # schema 1 did not count evaluations without guidance
    title = "Cost of training"
    paper = "DSPO (ICLR 2025), Table 3"
    compared = ("method", ("ddpo", "d3po", "spo", "tailorpo", "tailorpo-g"))
    Settings = CostSettings
    quick = CostSettings(iterations=2)

    def rows(self, asked: Request[CostSettings]) -> pd.DataFrame:
        """Returns a row per iteration: images, optimizer steps, MEASURED, and peak_gib of the whole process.

        Raises UsageError if a run is named, since the cost is that of a method, and what training raises.
        """
        settings = asked.settings
        if asked.run is not None:
            raise UsageError("the cost of a run cannot be measured", "it was trained already", "see its done.json")
        if is_served(getattr(asked.reward, "name", str(asked.reward))):
            raise UsageError(
                "the cost of a reward that a server computes cannot be measured here",
                "its memory and most of its time are the server's",
                "measure with a reward that is computed here: bench list rewards",
            )
        picked_device, model = device_and_dtype(asked.device, "auto")[0], models.find(asked.model)
        reward_class = lookup.as_class(asked.reward)
        run_config = self._config(model.name, asked.prompts, reward_class.name, settings, asked.dtype)
        inputs = identify(look_up(run_config, reward_class, asked.prompts, model))
        machine = {"device": device_name(picked_device), "packages": packages()}
        weights = {model.name: model.hash}
        key = {"schema": self.schema, "config": run_config.model_dump(mode="json"), "inputs": inputs, **machine}
        measurements = MeasurementStore(asked.store, self.name, key)
        asked.log(f"cost of {settings.method} on {model}: {settings.iterations + 1} iterations on {machine['device']}")

        def prepare() -> Any:
            return lambda start, stop: _train_in_new_process(run_config, asked.prompts, picked_device, asked.store)

        def measured_on() -> Mapping[str, Any]:
            return record({"protocol": self.name, **key}, weights, picked_device)

        title = f"cost of {settings.method}"
        return measurements.collect(1, 1, prepare, measured_on, title, "trainings", asked.log)

    def sampled(self, settings: CostSettings, model: str | LocalModel, runs: Sequence[Mapping[str, Any]]) -> str:
        """Returns an empty text: fixed evaluations are left out of what is timed."""
        return ""

    def precision(self, dtype: str, device: str | None) -> str:
        """Returns ``dtype`` itself: ``auto`` leaves the choice to each method's training."""
        return dtype

    def _config(
        self, model: str, prompts: PromptSet, reward: str, settings: CostSettings, dtype: str
    ) -> configs.RunConfig:
        overrides = [*settings.overrides, f"train.dtype={dtype}", "train.eval_images=1"]
        overrides += ["train.eval_every=0", "train.eval_steps=0"]
        run_config = configs.load(
            settings.method, model, reward, prompts.name, 1_000_000, settings.seed, settings.preset, overrides,
            pairs=settings.pairs,
        )  # fmt: skip
        group = run_config.method_class.images(run_config.method_config)
        images = max(run_config.train.batch // group, 1) * group  # of one iteration
        samples = images * (settings.iterations + 1)
        sampler = settings.sampler or run_config.sampler
        train_config = run_config.train.model_copy(update={"save_every": samples + 1})
        return run_config.model_copy(update={"samples": samples, "train": train_config, "sampler": sampler})

    def cost(self, settings: CostSettings, steps: int) -> ProtocolCost:
        """Returns the cost that a dry rollout of an online method counts; it does not count decoded images."""
        run_config = configs.load(
            settings.method, "shapes", "shapes-colour", "shapes-simple", 1_000_000, 0, settings.preset,
            [*settings.overrides, f"sampler.steps={steps}"],
        )  # fmt: skip
        estimate = rollout_cost(run_config)
        images = estimate.images * (settings.iterations + 1)
        evals, grads, calls = (
            round(count * images) for count in (estimate.unet_evals, estimate.unet_grads, estimate.reward_calls)
        )
        return ProtocolCost(evals, grads, 0, calls, run_config.train.finetune)

    def make_table(self, frames: Mapping[str, pd.DataFrame], settings: CostSettings, style: TableStyle) -> Table:
        """Returns a row per method: seconds and evaluations per image and per optimizer step, and peak memory."""
        cells: dict[str, dict[str, Cell]] = {}
        for row, frame in frames.items():
            row_cells = {
                key: make_cell(
                    intervals.mean(frame.assign(prompt_index=frame.iteration, score=frame[a] / frame[b]), style.level)
                )
                for key, (a, b) in RATIOS.items()
            }
            row_cells["peak GiB"] = Cell(value=float(frame.peak_gib.max()))
            cells[row] = {
                key: cell.model_copy(update={"published": style.published.get((row, key))})
                for key, cell in row_cells.items()
            }
        devices = ", ".join(sorted({str(device) for frame in frames.values() for device in frame.device}))
        caption = (
            f"{style.about}Means over {settings.iterations} training iterations after the first, on "
            f"{devices}; network: guided evaluations, one without guidance is half of one. Times hold for this machine "
            f"and for what else it was doing. In brackets: {style.level:.0%} interval over iterations."
        )
        return Table(
            name=style.name,
            title=self.title,
            caption=caption,
            rows=tuple(frames),
            columns=tuple(Column(key=key, better="lower") for key in [*RATIOS, "peak GiB"]),
            cells=cells,
            quick=style.quick,
        )


def _train_in_new_process(config: configs.RunConfig, prompts: PromptSet, device: str, store: Path) -> pd.DataFrame:
    """Returns the rows of a training in a new process, which has as many threads. Raises what training raises.

    Prompts that have no name that the process could look up reach it in a file.
    """
    text = config.model_dump_json()
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.json"
        if prompt_sets.find(prompts.name) is None:
            file = Path(folder) / "prompts.jsonl"
            lines = zip(metadata(prompts.prompts), prompts.prompts, strict=True)
            file.write_text("".join(json.dumps({**row, "prompt": prompt}) + "\n" for row, prompt in lines))
            text = config.model_copy(update={"prompts": str(file)}).model_dump_json()
        job = Job(
            "the training whose cost is measured",
            ("benchbench.protocols.cost", text, device, str(store), str(rows)),
            store / "logs" / f"cost-{config.digest}.log",
            threads=torch.get_num_threads(),
            exclusive=True,
        )
        run([job], LocalBackend(1), stop_at_first=True)
        return pd.read_json(io.StringIO(rows.read_text(encoding="utf-8")), orient="records")


def measure_training() -> None:
    """Trains, and writes the rows as JSON; called in the new process with config, device, store and file as words."""
    import resource

    run_config, device = configs.RunConfig.model_validate_json(sys.argv[1]), sys.argv[2]
    store, rows_file = Path(sys.argv[3]), Path(sys.argv[4])
    optimizer_steps = 0

    def count_step(*_: Any) -> None:
        nonlocal optimizer_steps
        optimizer_steps += 1

    register_optimizer_step_post_hook(count_step)
    run_folder = train(run_config, rows_file.parent / "run", device=device, store=store)
    iterations = [row for row in read_metrics(run_folder) if "loss" in row]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # KiB on Linux
    if device.startswith("cuda"):
        peak = torch.cuda.max_memory_allocated(device)
    rows = [
        {
            "iteration": i,
            "images": after["samples"] - before["samples"],
            "steps": optimizer_steps / len(iterations),
            **{name: _guided(name, after) - _guided(name, before) for name in MEASURED},
            "peak_gib": peak / 2**30,
            "device": device_name(device),
        }
        for i, (before, after) in enumerate(itertools.pairwise(iterations), 1)
    ]
    write_atomic(rows_file, json.dumps(rows).encode())


def _guided(name: str, row: Mapping[str, Any]) -> float:
    """Returns a counter of a metrics row, with evaluations without guidance counted as half a guided one."""
    return float(row[name]) + (float(row[UNGUIDED[name]]) / 2 if name in UNGUIDED else 0.0)


if __name__ == "__main__":
    sys.exit(run_job(measure_training))

"""One measurement as a separate process: ``python -m benchbench.reproduce.measurement_job STORE JSON``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict

from benchbench import prompts
from benchbench.evaluate.measure import Measured, measure
from benchbench.hub import models
from benchbench.protocols import PROTOCOLS
from benchbench.rewards import lookup
from benchbench.runtime.files import Log
from benchbench.runtime.job_process import run_job
from benchbench.runtime.looking import looking_only
from benchbench.samplers import sampler_of

IMAGE_PROTOCOLS = ("reward-table", "win-rate")
"""Protocols that are computed from scores of stored images."""


class MeasurementSpec(BaseModel):
    """A protocol to run on rows of trainings (an empty row is the base model), a prompt set and rewards."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    protocol: str
    model: str
    rows: dict[str, list[str]]
    prompts: str
    images: int
    rewards: list[str]
    sampler: dict[str, float | str | None] | None = None
    settings: dict[str, Any] = {}
    quick: bool = False
    dtype: str = "auto"

    def measure_images(self, store: Path, log: Log, tell_cost: bool = True) -> Measured:
        """Returns images and scores of every row; makes only what the store lacks."""
        return measure(
            self.model,
            self.rows,
            prompts.load(self.prompts),
            self.rewards,
            store=store,
            images_per_prompt=self.images,
            sampler=sampler_of(self.sampler) if self.sampler else None,
            dtype=self.dtype,
            log=log,
            tell_cost=tell_cost,
        )

    def measure_protocol(self, reward: str, store: Path, log: Log) -> dict[str, pd.DataFrame]:
        """Returns the protocol's measurements under one reward by row; ``train_seed`` numbers a row's trainings."""
        protocol, frames_by_row = PROTOCOLS[self.protocol], {}
        model, prompt_set, reward_class = models.find(self.model), prompts.load(self.prompts), lookup.require(reward)
        settings = self.protocol_settings()
        options: dict[str, Any] = {"store": store, "dtype": self.dtype, "log": log}
        for row, runs in self.rows.items():
            frames = [
                protocol.measure(model, run, prompt_set, reward_class, settings, **options).assign(train_seed=i)
                for i, run in enumerate(runs or [None])
            ]
            frames_by_row[row] = pd.concat(frames, ignore_index=True)
        return frames_by_row

    def protocol_settings(self) -> Any:
        """Returns the settings of a protocol that is not one of IMAGE_PROTOCOLS; the quick ones under --quick."""
        protocol = PROTOCOLS[self.protocol]
        quick = protocol.quick.model_dump(mode="json", exclude_defaults=True) if self.quick else {}
        return protocol.Settings.model_validate({**self.settings, **quick})

    def run(self, store: Path, log: Log = print) -> None:
        """Measures and stores what the store lacks."""
        if self.protocol in IMAGE_PROTOCOLS:
            self.measure_images(store, log)
        else:
            for reward in self.rewards:
                self.measure_protocol(reward, store, log)

    def is_complete(self, store: Path) -> bool:
        """Returns whether the store holds all that ``run`` would make, verified as ``run`` verifies it.

        An error counts as incomplete: the job meets it, too, and reports it.
        """
        try:
            with looking_only():
                self.run(store, log=lambda line: None)
        except Exception:
            return False
        return True


if __name__ == "__main__":
    sys.exit(run_job(lambda: MeasurementSpec.model_validate_json(sys.argv[2]).run(Path(sys.argv[1]))))

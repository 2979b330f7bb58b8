"""Runs a stage of a build; its folder gets its final name only when the stage has ended."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchbench.runtime.files import Log, replacing_folder, sweep
from benchbench.runtime.json_files import read_object, write_json
from benchbench.runtime.status import report_progress

FACTS = "facts.json"
Facts = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """A stage's paths and settings. It writes into `folder`, which gets its final name when the stage has ended."""

    work: Path
    """The folder that holds a folder for each stage."""
    name: str
    seed: int
    quick: bool
    """True for a smoke-size build, with few pictures and steps and poor results."""
    folder: Path
    log: Log = print

    def of(self, stage: str) -> Path:
        """Returns the folder of a stage that has ended."""
        return self.work / stage

    def scale(self, number: int, quick: int) -> int:
        """Returns `number`, or `quick` in a smoke-size build."""
        return quick if self.quick else number

    def report_step(self, step: int, steps: int, **numbers: float) -> None:
        """Logs the step and its numbers and reports the progress to the runner, about twenty times a stage."""
        if step % max(1, steps // 20) == 0 or step == steps:
            text = " ".join(f"{name} {value:.4f}" for name, value in numbers.items())
            self.log(f"{self.name} {step}/{steps} {text}")
            report_progress(step / max(1, steps))


def is_done(work: Path, stage: str) -> bool:
    """Returns True where the stage has ended before; a half-written folder never has the final name."""
    return (work / stage / FACTS).is_file()


def facts(work: Path, stage: str) -> Facts:
    """Returns the facts that a stage wrote when it ended."""
    return read_object(work / stage / FACTS, "delete the folder of that stage; the same command runs it again")


def run_stage(
    function: Callable[[Stage], Facts],
    work: Path,
    stage: str,
    seed: int,
    quick: bool,
    log: Log = print,
) -> None:
    """Runs one stage on one thread, writes its facts and renames its folder. Earlier leftovers are removed first."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    started = time.monotonic(), time.process_time()

    sweep(work, stage)
    with replacing_folder(work / stage) as folder:
        stage_facts = function(Stage(work, stage, seed, quick, folder, log))
        stage_facts["seconds"] = round(time.monotonic() - started[0], 1)
        stage_facts["cpu_seconds"] = round(time.process_time() - started[1], 1)
        write_json(folder / FACTS, stage_facts)
    log(f"{stage} done in {stage_facts['seconds']:.0f} s")

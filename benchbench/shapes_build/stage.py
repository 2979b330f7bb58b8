"""One stage of a build: where it reads, where it writes, and the finish that makes it final."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbench.runtime.files import replacing_folder, sweep
from benchbench.runtime.json_files import read_object, write_json
from benchbench.runtime.status import report_progress

FACTS = "facts.json"
Facts = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """What a stage is given. It writes into `folder`, which gets its final name only when the stage has ended."""

    work: Path
    """The folder of all stages' results."""
    name: str
    seed: int
    quick: bool
    """A smoke-size build: few pictures and steps, poor results."""
    folder: Path
    log: Callable[[str], None] = print

    def of(self, stage: str) -> Path:
        """The folder of a stage that has ended."""
        return self.work / stage

    def scale(self, number: int, quick: int) -> int:
        """`number`, or `quick` in a smoke-size build."""
        return quick if self.quick else number

    def report_step(self, step: int, steps: int, **numbers: float) -> None:
        """Says how far the stage is, about twenty times in all, and reports it to the runner."""
        if step % max(1, steps // 20) == 0 or step == steps:
            text = " ".join(f"{name} {value:.4f}" for name, value in numbers.items())
            self.log(f"{self.name} {step}/{steps} {text}")
            report_progress(step / max(1, steps))


def is_done(work: Path, stage: str) -> bool:
    """Whether the stage has ended before; half-written results never carry the final name."""
    return (work / stage / FACTS).is_file()


def facts(work: Path, stage: str) -> Facts:
    """What a stage that has ended noted."""
    return read_object(work / stage / FACTS, "delete the folder of that stage; it is made again")


def run_stage(
    function: Callable[[Stage], Facts],
    work: Path,
    stage: str,
    seed: int,
    quick: bool,
    log: Callable[[str], None] = print,
) -> None:
    """Runs one stage on one thread and renames its folder at the end."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    started = time.monotonic(), time.process_time()

    sweep(work, stage)
    with replacing_folder(work / stage) as folder:
        noted = function(Stage(work, stage, seed, quick, folder, log))
        noted["seconds"] = round(time.monotonic() - started[0], 1)
        noted["cpu_seconds"] = round(time.process_time() - started[1], 1)
        write_json(folder / FACTS, noted)
    log(f"{stage} done in {noted['seconds']:.0f} s")

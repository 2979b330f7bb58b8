"""Builds the shapes world from a seed: model, rewards, and the record of how they were made."""

import os
import platform
import shutil
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from benchbench.errors import BenchError, CorruptError, RunError
from benchbench.runtime.files import Log, replacing, replacing_folder
from benchbench.runtime.hashing import file_sha256
from benchbench.runtime.jobs import Job, LocalBackend, run
from benchbench.runtime.json_files import read_object, write_json
from benchbench.shapes import WEIGHTS
from benchbench.shapes_build.plan import FLOW, STAGES
from benchbench.shapes_build.stage import FACTS, facts, is_done

PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "numpy", "pillow")


class Part(NamedTuple):
    """A part of the build that has its own record."""

    record: str
    stages: tuple[str, ...]
    shipped: dict[str, str]
    """The files and folders that it leaves, each with the stage that writes it."""
    counted: str
    """The stage that counts its parameters."""
    measured: str
    """The stage that measures it."""


WORLD = Part(
    "record.json",
    tuple(stage for stage in STAGES if stage not in FLOW),
    {
        "model": "ship",
        "clip": "ship",
        "pref": "ship",
        "aesthetic.safetensors": "ship",
        "spm": "spm",
        "step-agnostic": "spm",
        "samples.png": "measure",
    },
    counted="ship",
    measured="measure",
)
SHAPES_FLOW = Part(
    "flow/record.json",
    FLOW,
    {"flow/model": "flow", "flow/spm": "flow_spm", "flow/samples.png": "flow_measure"},
    counted="flow",
    measured="flow_measure",
)


def build(
    out: Path, seed: int = 0, jobs: int = 2, log: Log = print, quick: bool = False, flow_only: bool = False
) -> dict[str, Any]:
    """Builds everything into `out` and returns the record; a build that was interrupted continues after its last stage.

    Runs `jobs` stages at a time, each in its own process on one thread. `quick` builds, in about a minute, a world that
    works but has learned nothing. `flow_only` copies the installed world, trains shapes-flow and its judge on it, and
    returns their record. Errors: CorruptError for a folder with other files, RunError for a failed stage.
    """
    out = Path(out)
    _check_folder(out, {"recipe": 1, "seed": seed, "quick": quick} | ({"flow_only": True} if flow_only else {}))
    parts = (SHAPES_FLOW,) if flow_only else (SHAPES_FLOW, WORLD)
    last = out / parts[-1].record
    if last.is_file():
        log(f"{out} holds this build already")
        return read_object(last, "delete it; the same command writes it again")
    work = out / "work"
    started = time.monotonic()
    if flow_only and not is_done(work, "ship"):
        _copy_world(work, out)
    _run_stages([stage for part in reversed(parts) for stage in part.stages], work, seed, jobs, quick, log)
    for part in parts:
        for name, stage in part.shipped.items():
            _copy(work / stage / name, out / name)
        record = _record(out, work, seed, quick, part)
        record["seconds_of_this_run"] = round(time.monotonic() - started, 1)
        write_json(out / part.record, record, indent=2)
    shutil.rmtree(work)
    return record


def _copy_world(work: Path, out: Path) -> None:
    """Copies the installed world into `out`, and what its stage `ship` wrote to where that stage would write it."""
    for name in (*WORLD.shipped, WORLD.record):
        _copy(WEIGHTS / name, out / name)
    with replacing_folder(work / "ship") as folder:
        for name, stage in WORLD.shipped.items():
            if stage == "ship":
                _copy(out / name, folder / name)
        write_json(folder / FACTS, {"copied": True})


def _check_folder(out: Path, identity: dict[str, Any]) -> None:
    """Writes build.json into an empty folder. Raises CorruptError for a folder that does not belong to this build."""
    file = out / "build.json"
    if file.is_file():
        existing = read_object(file, "choose an empty folder")
        if existing != identity:
            raise CorruptError(
                f"{out} holds another build", f"it is {existing}, and this is {identity}", "choose an empty folder"
            )
    elif out.is_dir() and any(out.iterdir()):
        raise CorruptError(f"{out} is not empty", "it holds files that are not of a build", "choose an empty folder")
    else:
        out.mkdir(parents=True, exist_ok=True)
        write_json(file, identity)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        with replacing_folder(target) as part:
            shutil.copytree(source, part, dirs_exist_ok=True)
    else:
        with replacing(target) as part:
            shutil.copyfile(source, part)


def _run_stages(stages: list[str], work: Path, seed: int, jobs: int, quick: bool, log: Log) -> None:
    """Runs the stages that are not done yet, at most `jobs` at a time. Errors: RunError for a stage that fails."""
    pending: dict[str, Job] = {}
    for stage in stages:
        if not is_done(work, stage):
            after = tuple(pending[need] for need in STAGES[stage] if need in pending)
            pending[stage] = _job(stage, after, work, seed, quick)
    try:
        run(
            list(pending.values()),
            LocalBackend(jobs),
            "building",
            stop_at_first=True,
            on_start=lambda job: log(f"{job.name}: started"),
            on_end=lambda job: log(f"{job.name}: done in {facts(work, job.name)['seconds']:.0f} s"),
        )
    except BenchError as error:
        raise RunError(
            f"stage {error.problem}", error.cause, f"{error.remedy}; the build then continues with this stage"
        ) from error


def _job(stage: str, after: tuple[Job, ...], work: Path, seed: int, quick: bool) -> Job:
    command = ["benchbench.shapes_build.plan", stage, str(work), str(seed), *["quick"] * quick]
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = {"MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": path}
    if stage in FLOW:  # its model borrows parts of shapes: of this build, not of the installed world
        environment["BENCH_SHAPES_WEIGHTS"] = str((work / "ship").absolute())
    return Job(stage, tuple(command), work / f"{stage}.log", threads=1, after=after, environment=environment)


def _record(out: Path, work: Path, seed: int, quick: bool, part: Part) -> dict[str, Any]:
    facts_by_stage = {stage: facts(work, stage) for stage in part.stages}
    files = sorted(p for name in part.shipped for p in [out / name, *(out / name).rglob("*")] if p.is_file())
    named = ("ship", part.measured)
    return {
        "seed": seed,
        "quick": quick,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "processor_threads_per_stage": 1,
        "seconds": {stage: values["seconds"] for stage, values in facts_by_stage.items()},
        "cpu_seconds": sum(values["cpu_seconds"] for values in facts_by_stage.values()),
        "parameters": facts_by_stage[part.counted]["parameters"],
        "stages": {stage: values for stage, values in facts_by_stage.items() if stage not in named},
        "measured": facts_by_stage[part.measured],
        "bytes": sum(path.stat().st_size for path in files),
        "files": {path.relative_to(out).as_posix(): file_sha256(path) for path in files},
    }

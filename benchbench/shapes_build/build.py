"""Builds the shapes world from a seed: model, rewards, and the record of how they were made."""

import os
import platform
import shutil
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchbench.errors import BenchError, CorruptError, RunError
from benchbench.runtime.files import Log, replacing, replacing_folder
from benchbench.runtime.hashing import file_sha256
from benchbench.runtime.jobs import Job, LocalBackend, run
from benchbench.runtime.json_files import read_object, write_json
from benchbench.shapes_build.plan import STAGES
from benchbench.shapes_build.stage import facts, is_done

PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "numpy", "pillow")
SHIPPED = {"model": "ship", "clip": "ship", "pref": "ship", "aesthetic.safetensors": "ship", "spm": "spm"}
"""The files and folders that a build leaves, each with the stage that writes it."""


def build(out: Path, seed: int = 0, jobs: int = 2, log: Log = print, quick: bool = False) -> dict[str, Any]:
    """Builds everything into `out` and returns the record; a build that was interrupted continues after its last stage.

    Runs `jobs` stages at a time, each in its own process on one thread. `quick` builds, in about a minute, a world that
    works but has learned nothing. Errors: CorruptError for a folder with other files, RunError for a failed stage.
    """
    out = Path(out)
    _check_folder(out, {"recipe": 1, "seed": seed, "quick": quick})
    if (out / "record.json").is_file():
        log(f"{out} holds this build already")
        return read_object(out / "record.json", "delete it; the same command writes it again")
    work = out / "work"
    started = time.monotonic()
    _run_stages(work, seed, jobs, quick, log)
    for name, stage in SHIPPED.items():
        _copy(work / stage / name, out / name)
    _copy(work / "measure" / "samples.png", out / "samples.png")
    record = _record(out, work, seed, quick)
    record["seconds_of_this_run"] = round(time.monotonic() - started, 1)
    write_json(out / "record.json", record, indent=2)
    shutil.rmtree(work)
    return record


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


def _run_stages(work: Path, seed: int, jobs: int, quick: bool, log: Log) -> None:
    """Runs the stages that are not done yet, at most `jobs` at a time. Errors: RunError for a stage that fails."""
    pending: dict[str, Job] = {}
    for stage, needs in STAGES.items():
        if not is_done(work, stage):
            after = tuple(pending[need] for need in needs if need in pending)
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
    return Job(stage, tuple(command), work / f"{stage}.log", threads=1, after=after, environment=environment)


def _record(out: Path, work: Path, seed: int, quick: bool) -> dict[str, Any]:
    facts_by_stage = {stage: facts(work, stage) for stage in STAGES}
    files = sorted(p for name in SHIPPED for p in [out / name, *(out / name).rglob("*")] if p.is_file())
    return {
        "seed": seed,
        "quick": quick,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "processor_threads_per_stage": 1,
        "seconds": {stage: values["seconds"] for stage, values in facts_by_stage.items()},
        "cpu_seconds": sum(values["cpu_seconds"] for values in facts_by_stage.values()),
        "parameters": facts_by_stage["ship"]["parameters"],
        "stages": {stage: values for stage, values in facts_by_stage.items() if stage not in ("ship", "measure")},
        "measured": facts_by_stage["measure"],
        "bytes": sum(path.stat().st_size for path in files),
        "files": {path.relative_to(out).as_posix(): file_sha256(path) for path in files},
    }

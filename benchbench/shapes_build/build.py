"""Makes the shapes world again from its seeds: model, rewards, record."""

import os
import platform
import shutil
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchbench.errors import BenchError, CorruptError, RunError
from benchbench.runtime.files import replacing, replacing_folder
from benchbench.runtime.hashing import file_sha256
from benchbench.runtime.jobs import Job, LocalBackend, run
from benchbench.runtime.json_files import read_object, write_json

from .plan import STAGES
from .stage import facts, is_done

PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "numpy", "pillow")
SHIPPED = {"model": "ship", "clip": "ship", "pref": "ship", "aesthetic.safetensors": "ship", "spm": "spm"}
"""What a build leaves, and the stage that made it."""
Log = Callable[[str], None]


def build(out: Path, seed: int = 0, jobs: int = 2, log: Log = print, quick: bool = False) -> dict[str, Any]:
    """Builds everything into `out` and returns the record; stages that ended before are not run again.

    `jobs` stages run at a time, each in a process of its own on one thread. `quick` builds something that works but
    has learned nothing, in about a minute.
    """
    out = Path(out)
    _claim(out, {"recipe": 1, "seed": seed, "quick": quick})
    if (out / "record.json").is_file():
        log(f"{out} holds this build already")
        return read_object(out / "record.json", "delete it; the build is finished again")
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


def _claim(out: Path, identity: dict[str, Any]) -> None:
    """Marks the folder as this build's, or refuses one that is something else's."""
    mark = out / "build.json"
    if mark.is_file():
        found = read_object(mark, "give an empty folder")
        if found != identity:
            raise CorruptError(
                f"{out} holds another build", f"it is {found}, wanted is {identity}", "give an empty folder"
            )
    elif out.is_dir() and any(out.iterdir()):
        raise CorruptError(f"{out} is not empty", "it holds files that no build made", "give an empty folder")
    else:
        out.mkdir(parents=True, exist_ok=True)
        write_json(mark, identity)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        with replacing_folder(target) as part:
            shutil.copytree(source, part, dirs_exist_ok=True)
    else:
        with replacing(target) as part:
            shutil.copyfile(source, part)


def _run_stages(work: Path, seed: int, jobs: int, quick: bool, log: Log) -> None:
    """Runs the stages that have not ended before, at most `jobs` at a time. Errors: RunError for one that fails."""
    made: dict[str, Job] = {}
    for stage, needs in STAGES.items():
        if not is_done(work, stage):
            after = tuple(made[need] for need in needs if need in made)
            made[stage] = _job(stage, after, work, seed, quick)
    try:
        run(
            list(made.values()),
            LocalBackend(jobs),
            "building",
            stop_at_first=True,
            on_start=lambda job: log(f"{job.name}: started"),
            on_end=lambda job: log(f"{job.name}: done in {facts(work, job.name)['seconds']:.0f} s"),
        )
    except BenchError as error:
        raise RunError(f"stage {error.problem}", error.cause, f"{error.remedy}; a build goes on from here") from error


def _job(stage: str, after: tuple[Job, ...], work: Path, seed: int, quick: bool) -> Job:
    command = ["benchbench.shapes_build.plan", stage, str(work), str(seed), *["quick"] * quick]
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = {"MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": path}
    return Job(stage, tuple(command), work / f"{stage}.log", threads=1, after=after, environment=environment)


def _record(out: Path, work: Path, seed: int, quick: bool) -> dict[str, Any]:
    stages = {stage: facts(work, stage) for stage in STAGES}
    files = sorted(p for name in SHIPPED for p in [out / name, *(out / name).rglob("*")] if p.is_file())
    return {
        "seed": seed,
        "quick": quick,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "processor_threads_per_stage": 1,
        "seconds": {stage: noted["seconds"] for stage, noted in stages.items()},
        "cpu_seconds": sum(noted["cpu_seconds"] for noted in stages.values()),
        "parameters": stages["ship"]["parameters"],
        "stages": {stage: noted for stage, noted in stages.items() if stage not in ("ship", "measure")},
        "measured": stages["measure"],
        "bytes": sum(path.stat().st_size for path in files),
        "files": {path.relative_to(out).as_posix(): file_sha256(path) for path in files},
    }

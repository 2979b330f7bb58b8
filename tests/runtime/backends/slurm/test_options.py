"""The words of --slurm."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchbench.errors import MissingError, UsageError
from benchbench.runtime.backends.choice import BackendChoice
from benchbench.runtime.backends.slurm_options import minutes, parameters
from benchbench.runtime.backends.slurm_submit import own_folder


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", 90),
        ("0:30", 1),
        ("90:00", 90),
        ("90:01", 91),
        ("8:00:00", 480),
        ("1-0", 1440),
        ("1-12", 2160),
        ("2-1:30", 2970),
        ("0-0:0:59", 1),
    ],
)
def test_times_of_slurm(text: str, expected: int) -> None:
    assert minutes(text) == expected


@pytest.mark.parametrize("text", ["", "8h", "1:2:3:4", "-5", "1-", "1-2:3:4:5", "UNLIMITED"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a time limit"):
        minutes(text)


def test_options_become_parameters_of_submitit_or_of_sbatch() -> None:
    words = {"partition": "gpu", "time": "2:00", "gres": "gpu:1", "mem": "32G", "cpus": "4", "signal-delay": "300"}
    assert parameters({**words, "licenses": "a:1", "contiguous": ""}) == {
        "partition": "gpu",
        "time": 2,
        "gres": "gpu:1",
        "mem": "32G",
        "cpus_per_task": 4,
        "srun_args": ["--cpus-per-task=4"],
        "signal_delay_s": 300,
        "additional_parameters": {"requeue": True, "licenses": "a:1", "contiguous": True},
    }


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ({"partition": "gpu"}, "--slurm has no time limit"),
        ({"time": "1", "nodes": "2"}, "--slurm nodes cannot be chosen"),
        ({"time": "1", "ntasks-per-node": "2"}, "--slurm ntasks-per-node cannot be chosen"),
        ({"time": "1", "cpus": "many"}, "--slurm cpus-per-task=many is not a number"),
    ],
)
def test_options_that_cannot_work_are_refused(words: dict[str, str], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        parameters(words)


def test_options_of_slurm_need_slurm() -> None:
    with pytest.raises(UsageError, match="--slurm has no effect here"):
        BackendChoice("local", slurm=("time=1",)).backend(1)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchbench.runtime.backends.slurm_submit.find_spec", lambda _: None)
    with pytest.raises(MissingError) as error:
        BackendChoice("slurm", slurm=("time=1",)).backend(1)
    assert error.value.remedy == "pip install 'benchbench[slurm]'"
    monkeypatch.setattr("benchbench.runtime.backends.slurm_submit.find_spec", lambda _: object())
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "sbatch" else name)
    with pytest.raises(MissingError) as error:
        BackendChoice("slurm", slurm=("time=1",)).backend(1)
    assert error.value.cause == "sbatch is not found on this machine"


def test_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    """Its files are unpickled in the Slurm job."""
    own_folder(tmp_path / "logs" / "slurm")
    assert (tmp_path / "logs" / "slurm").stat().st_mode & 0o777 == 0o700
    own_folder(tmp_path / "logs" / "slurm")
    (tmp_path / "logs" / "slurm").chmod(0o770)
    with pytest.raises(UsageError, match="is not a folder of yours alone"):
        own_folder(tmp_path / "logs" / "slurm")
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(UsageError, match="is not a folder of yours alone"):
        own_folder(tmp_path / "link")

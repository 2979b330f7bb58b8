"""A sweep that runs: its report, what a second command makes, and what `bench status` says of it."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pandas as pd
import pytest

import benchbench as bb
from benchbench.reproduce import sweep as sweep_files
from benchbench.reproduce.plan import Plan, make_plan
from benchbench.reproduce.run import sweep
from benchbench.reproduce.table_status import job_status
from benchbench.runtime.backends.base import Job
from benchbench.runtime.backends.local import LocalAttempt, LocalBackend
from tests.forked import forked_jobs, run

__all__ = ["forked_jobs"]
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("sweep")]  # one process makes ``made``

FILE = """
title: Two ranks
model: shapes
methods: [tailorpo]
rewards: [shapes-colour]
seeds: [0]
set:
  train.lora_rank: [1, 2]
  train.eval_every: [0]
samples: 2
prompts: {shapes-simple: 1}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Returns a sweep's file and the report that it made in the folder ``store`` beside it.

    The trainings and the first measurement, of the base model, are made by the commands that ``--print-commands``
    prints, from another folder, as a scheduler would run them.
    """
    folder = tmp_path_factory.mktemp("sweep")
    file = folder / "two ranks.yaml"
    file.write_text(FILE)
    printed: list[str] = []
    store = Path(os.path.relpath(folder / "store"))
    assert sweep(file, store=store, commands=printed.append) is None and not store.exists()
    assert [line[:12] for line in printed if line.startswith("#")] == ["# 2 training", "# 3 measurem", "# the report"]
    commands = [line for line in printed if not line.startswith("#")]
    training, another, measurement = map(shlex.split, commands[:3])
    for words in (training, measurement):
        subprocess.run(words, check=True, cwd=tmp_path_factory.mktemp("elsewhere"))
    assert another[:3] == training[:3] and another[1] == "-m"
    status, said = run(another[1:], folder / "another.log", folder=tmp_path_factory.mktemp("elsewhere"))
    assert status == 0, said
    report = sweep(file, store=folder / "store")
    assert report is not None
    logs = {path.name for path in (folder / "store" / "logs").glob("*.log")}
    assert len(logs) == 2 and all(name.startswith("measure-") for name in logs)  # the jobs that were left
    return file, report


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Returns the names of the jobs that are started from now on."""
    names: list[str] = []
    start = LocalBackend.start

    def noted(self: LocalBackend, job: Job) -> LocalAttempt:
        names.append(job.name)
        return start(self, job)

    monkeypatch.setattr(LocalBackend, "start", noted)
    return names


def test_the_call_from_python_returns_the_same_report_and_prints_nothing(
    made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file, report = made
    monkeypatch.chdir(tmp_path)
    capfd.readouterr()
    result = bb.sweep(file, store=file.parent / "store")
    assert capfd.readouterr() == ("", "")
    assert (result.folder, result.page.name) == (report, "report.html")
    assert result.table.rows == ("base", "tailorpo, lora_rank 1", "tailorpo, lora_rank 2")
    scores = result.scores.groupby(["row", "reward"]).score.mean()
    cells = result.table.to_frame().set_index(["row", "column"]).value
    assert cells.loc[("tailorpo, lora_rank 1", "shapes-colour")] == pytest.approx(
        scores.loc[("tailorpo, lora_rank 1", "shapes-colour")]
    )


def plan_of(file: Path) -> Plan:
    found = sweep_files.load(file)
    return make_plan(found.spec, found.track.model, found.track, file.parent / "store", seeds=found.seeds)


def test_the_table_has_a_row_for_each_combination_and_says_what_was_swept(made: tuple[Path, Path]) -> None:
    file, report = made
    assert report.name.startswith("two-ranks-")
    table = pd.read_csv(report / "two-ranks-training.csv")
    assert set(table.row) == {"base", "tailorpo, lora_rank 1", "tailorpo, lora_rank 2"}
    text = (report / "report.md").read_text()
    assert "train.lora_rank 1, 2" in text and "Learning rate of every training: 0.003 (preset shapes)." in text
    assert {job.state for job in job_status(plan_of(file), file.parent / "store")} == {"done"}


def test_what_is_complete_starts_no_process(made: tuple[Path, Path], started: list[str]) -> None:
    file, report = made
    assert sweep(file, store=file.parent / "store") == report
    assert started == []


@pytest.mark.usefixtures("forked_jobs")
def test_only_what_is_not_complete_is_measured_again(made: tuple[Path, Path], started: list[str]) -> None:
    """A picture of one row is deleted, and a byte of another row's scores is changed; the table is the same again."""
    file, report = made
    store = file.parent / "store"
    first, second, _ = sorted(path.name for path in (store / "images").iterdir())
    (store / "images" / first / "00003-00.webp").unlink()
    scores = next(iter((store / "scores" / second).glob("*.parquet")))
    data = bytearray(scores.read_bytes())
    data[len(data) // 2] ^= 1
    scores.write_bytes(data)
    assert sweep(file, store=store) == report
    assert len(started) == 2 and all(" on shapes-simple" in name for name in started)

"""``bench status`` of tables and sweeps: the state of each job, and what --watch prints."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import pytest

from benchbench.cli import watch
from benchbench.reproduce.table_status import JobStatus
from tests.cli.conftest import Bench

SWEEP = """
model: shapes
methods: [ddpo, tailorpo]
rewards: [shapes-colour]
seeds: [0]
prompts: {shapes-simple: 1}
"""


def test_each_job_of_a_sweep_has_a_state_and_a_failed_one_its_reason(bench: Bench, tmp_path: Path) -> None:
    """One of two trainings has failed and the other was killed at 40 %; three measurements are left."""
    file, store = tmp_path / "sweep.yaml", tmp_path / "store"
    file.write_text(SWEEP)
    planned = bench("sweep", str(file), "--dry-run", "--store", str(store))
    assert planned.code == 0, planned.err
    ddpo, tailorpo = (line.removeprefix("left: ") for line in planned.out.splitlines() if line.startswith("left: "))
    start = {"pid": 71, "host": socket.gethostname(), "where": "slurm 1234"}
    error = {"problem": "it failed", "cause": "the reward is NaN", "remedy": "use another", "code": 5}
    for run, line in ((ddpo, {"error": error}), (tailorpo, {"progress": 0.4})):
        status = store / "logs" / f"{run}.status.jsonl"
        status.parent.mkdir(parents=True, exist_ok=True)
        status.write_text(f"{json.dumps(start)}\n{json.dumps({'pid': 71, **line})}\n")
    ran = bench("status", str(file), "--store", str(store))
    assert ran.code == 0, ran.err
    assert f"{file}\t2\t0\t2\t" in ran.out
    assert "ddpo on shapes-colour, seed 0\tfailed\tit failed (the reward is NaN); use another" in ran.out
    assert "tailorpo on shapes-colour, seed 0\tstopped\tat 40 %; the same command goes on" in ran.out
    assert ran.out.count("\tleft\t\n") == 3


def test_watching_needs_a_table(bench: Bench) -> None:
    ran = bench("status", "--watch")
    assert ran.code == 2 and "nothing to watch" in ran.err


def test_into_a_pipe_each_change_is_printed_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watch, "EVERY", 0.0)
    done, left = JobStatus("a", "done"), JobStatus("b", "left")
    half, complete = JobStatus("b", "running", "50 %, slurm 7"), JobStatus("b", "done")
    looks = iter([[done, left], [done, left], [done, half], [done, half], [done, complete]])
    watch.watch_jobs(lambda: next(looks))
    assert capsys.readouterr().out.splitlines() == [
        "done\ta",
        "left\tb",
        "1 done, 1 left",
        "running\tb\t50 %, slurm 7",
        "1 done, 1 running",
        "done\tb",
        "2 done",
    ]


def test_a_terminal_is_drawn_anew_when_something_has_changed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Equal frames would flicker; the last frame stays on the screen."""
    monkeypatch.setattr(watch, "EVERY", 0.0)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    done, half, complete = JobStatus("a", "done"), JobStatus("b", "running", "50 %, slurm 7"), JobStatus("b", "done")
    looks = iter([[done, half], [done, half], [done, half], [done, complete]])
    watch.watch_jobs(lambda: next(looks))
    drawn = capsys.readouterr().out
    assert drawn.count("1 done, 1 running") == 1 and drawn.count("50 %, slurm 7") == 1
    assert drawn.rindex("2 done") > drawn.index("1 running")


def test_ctrl_c_ends_watching(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupted)
    watch.watch_jobs(lambda: [JobStatus("b", "left")])
    assert capsys.readouterr().out == "left\tb\n1 left\n"


@pytest.mark.parametrize("command", [["sweep"], ["status"]])
def test_a_sweep_that_is_not_there_is_a_usage_error(bench: Bench, tmp_path: Path, command: list[str]) -> None:
    ran = bench(*command, str(tmp_path / "sweep.yaml"), "--store", str(tmp_path))
    assert ran.code == 2 and "sweep.yaml cannot be read" in ran.err and "No such file" in ran.err


@pytest.mark.parametrize("argv", [("list", "runs"), ("status",), ("status", "tailorpo:2")])
def test_a_store_that_is_named_and_not_there_is_an_error(bench: Bench, tmp_path: Path, argv: tuple[str, ...]) -> None:
    """A mistyped store would look empty. The default store may not be there yet, and both say so."""
    ran = bench(*argv, "--store", tmp_path / "mistyped")
    assert ran.code == 2 and f"there is no store {tmp_path / 'mistyped'}" in ran.err
    ran = bench(*argv)
    assert ran.code == 0 and "there is no store" in ran.out + ran.err


def test_runs_are_listed_with_their_settings(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    config = {"method": "ddpo", "model": "shapes", "reward": "shapes-clip", "seed": 3, "samples": 384}
    (folder / "run.json").write_text(json.dumps({"config": config}))
    (folder / "metrics.jsonl").write_text('{"samples": 96}\n')
    os.utime(folder / "run.json", (1, 1))
    os.utime(folder / "metrics.jsonl", (1_700_000_000, 1_700_000_000))
    header, row = bench("list", "runs", "--store", tmp_path).out.splitlines()
    listed = dict(zip(header.split("\t"), row.split("\t"), strict=True))
    assert listed.pop("last change").startswith("2023-11-1")
    assert listed == {
        **{"method": "ddpo", "model": "shapes", "reward": "shapes-clip", "seed": "3"},
        **{"state": "resumable", "samples": "96 of 384", "run": "mine"},
    }

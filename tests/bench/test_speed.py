"""The record of the benchmark continues where it stopped, and is never mixed with another machine's."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench import speed
from tests.bench.measure import Row


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Returns the list of measured parts, which grows; ``unet`` is interrupted the first time."""
    asked: list[str] = []

    def measure(name: str, args: Any, limit: float) -> dict[str, Any]:
        asked.append(name)
        if asked.count("unet") == 1 and name == "unet":
            raise KeyboardInterrupt
        rows = [Row(name, "a thing", "s", (1.0, 2.0)).json()]
        return {"seconds": 1.0, "load_before": 0.5, "load_after": 1.5, "rows": rows}

    monkeypatch.setattr(speed, "_measure", measure)
    return asked


def bench(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["speed", *words])
    return speed.main()


def test_an_interrupted_run_goes_on(
    measured: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "record.json"
    words = ("--out", str(out), "--rounds", "2", "--threads", "1")
    with pytest.raises(KeyboardInterrupt):
        bench(monkeypatch, *words)
    assert measured == ["generate", "score", "train", "unet"]
    assert list(json.loads(out.read_text())["parts"]) == ["generate", "score", "train"]
    assert bench(monkeypatch, *words) == 0
    assert measured[4:] == ["unet", "memory", "growth", "repeat", "cells"]
    assert "| cells | a thing | 1.5 s | 1 to 2 |  |  |  |" in out.with_suffix(".md").read_text()
    assert bench(monkeypatch, *words) == 0 and len(measured) == 9
    assert "complete" in capsys.readouterr().out
    assert bench(monkeypatch, *words, "--only", "train") == 0 and measured[9:] == ["train"]
    with pytest.raises(SystemExit, match=r"other circumstances \(rounds\)"):
        bench(monkeypatch, "--out", str(out), "--rounds", "3", "--threads", "1")


def test_an_unknown_part_is_refused(measured: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert bench(monkeypatch, "--only", "train,nothing") == 2 and not measured


def test_records_of_other_machines_stay(
    measured: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without ``--out``, a new record lies beside those of other machines, and the next run continues it."""
    monkeypatch.setattr(speed, "RECORDS", tmp_path)
    words = ("--only", "repeat", "--threads", "1")
    assert bench(monkeypatch, *words) == 0
    (first,) = tmp_path.glob("*.json")
    changed = json.loads(first.read_text())
    changed["about"]["commit"] = "of another day"
    first.write_text(json.dumps(changed))
    for parts in (["repeat"], ["repeat", "cells"]):
        assert bench(monkeypatch, "--only", parts[-1], "--threads", "1") == 0
        second = tmp_path / f"{first.stem}-2.json"
        assert list(json.loads(second.read_text())["parts"]) == parts
    assert json.loads(first.read_text()) == changed and len(list(tmp_path.glob("*.json"))) == 2
    assert str(second) in capsys.readouterr().out


def test_a_part_that_fails_or_takes_too_long_ends_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The part's error is in the record and the table, and the next run measures it again."""
    row = json.dumps([Row("unet", "a thing", "s", (1.0,)).json()])
    code_of = {"train": "import sys; sys.exit(3)", "unet": f"print({row!r})", "memory": "import time; time.sleep(60)"}
    plain = speed.subprocess.Popen

    def start(command: list[str], **options: Any) -> Any:
        if "--part" in command:
            command = [sys.executable, "-c", code_of[command[command.index("--part") + 1]]]
        return plain(command, **options)

    out = tmp_path / "record.json"
    monkeypatch.setattr(speed.subprocess, "Popen", start)
    monkeypatch.setattr(speed, "CPU_SECONDS", 2)
    words = ("--out", str(out), "--rounds", "1", "--threads", "1")
    assert bench(monkeypatch, *words, "--only", "train,unet,memory") == 0
    parts = json.loads(out.read_text())["parts"]
    assert parts["train"]["error"] == "its process ended with 3" and parts["train"]["rows"] == []
    assert parts["memory"]["error"].startswith("over its time limit") and parts["memory"]["seconds"] < 10
    assert "error" not in parts["unet"]
    assert "Not measured: train (its process ended with 3)." in out.with_suffix(".md").read_text()
    code_of |= {"train": code_of["unet"].replace("unet", "train")}
    assert bench(monkeypatch, *words, "--only", "train") == 0
    assert "error" not in json.loads(out.read_text())["parts"]["train"]

"""Damaged, foreign and unwritable files of a run are derived again, replaced by older ones, or refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from benchbench.errors import CorruptError, RunError
from benchbench.store import runs
from benchbench.store.metrics import read_metrics
from benchbench.train import checkpoint, trainer
from benchbench.train.evaluation import FixedEvaluation
from benchbench.train.loop import train
from tests.train.test_loop import adapter


def test_damaged_checkpoints(configure, tmp_path: Path) -> None:
    """A damaged newest checkpoint is named and the one before it is used; with both damaged the run is refused."""
    config, out = configure("tailorpo", samples=24), tmp_path / "run"
    train(config, out, log=lambda _: None)
    (out / "done.json").unlink()
    newest, older = sorted((out / "checkpoints").iterdir(), reverse=True)
    raw = bytearray((newest / "adapter-000.safetensors").read_bytes())
    raw[-3] ^= 1
    (newest / "adapter-000.safetensors").write_bytes(raw)
    messages: list[str] = []
    expected = adapter(out)
    train(config, out, resume=True, log=messages.append)
    assert any(f"checkpoint {newest.name} is damaged" in line for line in messages)
    assert any(f"resuming after {int(older.name)}" in line for line in messages)
    assert all(torch.equal(expected[name], t) for name, t in adapter(out).items())
    (out / "done.json").unlink()
    for folder in (out / "checkpoints").iterdir():
        (folder / "state.json").write_text("{")
    with pytest.raises(CorruptError, match="no checkpoint"):
        train(config, out, resume=True, log=lambda _: None)


@pytest.mark.parametrize("base", ["[0.5,", '["a", "b", "c", "d"]'])
def test_damaged_files_that_can_be_derived_are_made_again(base: str, configure, tmp_path: Path) -> None:
    """The base scores are computed again with the same values; record.json starts anew."""
    config, out = configure("tailorpo", samples=24), tmp_path / "run"

    def steps() -> list[dict]:  # without costs, since computing the scores again is counted
        return [{k: v for k, v in row.items() if k in ("samples", "loss") or "eval." in k} for row in read_metrics(out)]

    train(config, out, log=lambda _: None)
    scores, rows = (out / "base_scores.json").read_bytes(), steps()
    (out / "done.json").unlink()
    shutil.rmtree(out / "checkpoints" / "00000024")
    (out / "base_scores.json").write_text(base)
    (out / "record.json").write_text("{")
    train(config, out, resume=True, log=lambda _: None)
    assert (out / "base_scores.json").read_bytes() == scores and steps() == rows
    assert len(json.loads((out / "record.json").read_text())) == 1


def test_a_damaged_run_file_is_named_and_written_again(configure, tmp_path: Path) -> None:
    """The last checkpoint says that the folder holds this run."""
    config, out = configure("tailorpo", samples=8), tmp_path / "run"
    train(config, out, log=lambda _: None)
    before, messages = json.loads((out / "run.json").read_text()), list[str]()
    (out / "run.json").write_text("[" * 100_000)
    with pytest.raises(CorruptError, match=r"run\.json cannot be read") as error:
        train(config, out, log=lambda _: None)
    assert "--resume" in error.value.remedy
    train(config, out, resume=True, log=messages.append)
    assert any("run.json" in line and "written again" in line for line in messages)
    assert json.loads((out / "run.json").read_text()) == before


def test_checkpoint_of_another_model(configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, out = configure("tailorpo", samples=16), tmp_path / "run"
    train(config, out, log=lambda _: None)
    (out / "done.json").unlink()
    monkeypatch.setattr(trainer, "run_key", lambda *_: "another")
    with pytest.raises(CorruptError, match="belongs to another run"):
        train(config, out, resume=True, log=lambda _: None)


def test_a_full_disk(configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(RunError, match="disk is full"):
        train(configure("tailorpo", samples=16), tmp_path / "run", log=lambda _: None)
    assert not list((tmp_path / "run" / "checkpoints").iterdir())


def test_one_flipped_bit_in_a_run_is_noticed_or_changes_no_value(configure, tmp_path: Path) -> None:
    """Every file of a run that a number depends on, at eight places each."""
    config, out = configure("tailorpo", samples=16), tmp_path / "run"
    train(config, out, log=lambda _: None)
    complete, rows = runs.read(out), read_metrics(out)
    states = [json.loads((folder / "state.json").read_text()) for folder in checkpoint.folders(out)]
    reader: Any = SimpleNamespace(base_file=out / "base_scores.json", samples=range(4))
    base = FixedEvaluation._read_base_scores(reader)
    assert complete.state == "complete" and base is not None and len(states) == 2

    def values_are_right() -> None:
        run = runs.read(out)
        # a flip in the name of a checksum adds a name, and changes no value
        sound = complete.config.items() <= run.config.items() and complete.done.items() <= run.done.items()
        assert run.state == "damaged" or sound
        found_rows = read_metrics(out, lambda line: None)
        assert all(any(row.items() <= found_row.items() for row in rows) for found_row in found_rows)
        assert FixedEvaluation._read_base_scores(reader) in (None, base)
        found = checkpoint.find_latest(out, states[0]["run"], lambda line: None)
        assert (
            found is not None
            and asdict(found[1]).items()
            <= next(state for state in states if state["samples"] == int(found[0].name)).items()
        )

    names = ["run.json", "done.json", "base_scores.json", "metrics.jsonl", "pytorch_lora_weights.safetensors"]
    newest = checkpoint.folders(out)[0]
    for file in [*(out / name for name in names), *newest.iterdir()]:
        before = file.read_bytes()
        for place in range(1, len(before), max(1, len(before) // 8)):
            file.write_bytes(before[:place] + bytes([before[place] ^ 1]) + before[place + 1 :])
            values_are_right()
        file.write_bytes(before)
    assert runs.read(out) == complete

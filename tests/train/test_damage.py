"""Damaged, foreign and unwritable files of a run are derived again, replaced by older ones, or refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from benchbench.errors import CorruptError, RunError
from benchbench.store.metrics import read_metrics
from benchbench.train import checkpoint, trainer
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


def test_a_damaged_run_file_is_named(configure, tmp_path: Path) -> None:
    config, out = configure("tailorpo", samples=8), tmp_path / "run"
    train(config, out, log=lambda _: None)
    (out / "run.json").write_text("[" * 100_000)
    with pytest.raises(CorruptError, match=r"run\.json cannot be read"):
        train(config, out, resume=True, log=lambda _: None)


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

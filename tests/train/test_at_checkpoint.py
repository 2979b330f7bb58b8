"""``RUN@96``: the weights of a training at a checkpoint, also of one that was interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbench.errors import CorruptError, MissingError, RunError
from benchbench.evaluate.rows import short_labels
from benchbench.runtime.hashing import file_sha256
from benchbench.store import runs
from benchbench.store.run_file import DONE
from benchbench.train.at_checkpoint import weights_at
from benchbench.train.loop import train


def quiet(_: str) -> None:
    pass


@pytest.mark.parametrize("finetune", ["lora", "full"])
def test_a_checkpoint_is_written_as_the_end_of_its_training_writes_it(configure, tmp_path: Path, finetune: str) -> None:
    """The last checkpoint of an unfinished run gives byte by byte the file of a run that ended there."""
    words = [f"train.finetune={finetune}", "train.eval_every=0"]
    run = train(configure("ddpo", *words, samples=16), tmp_path / "runs" / "mine", log=quiet)
    [end] = runs.find_adapter(tmp_path, "mine").weights.files
    expected = file_sha256(end)
    assert weights_at("mine@16", tmp_path, quiet) == str(run)
    (run / DONE).unlink()
    end.unlink()
    said: list[str] = []
    found = runs.find_adapter(tmp_path, weights_at("mine@last", tmp_path, said.append))
    [written] = found.weights.files
    assert file_sha256(written) == expected and "mine: its checkpoint after 16 samples" in said[0]
    assert (found.label, short_labels([found])) == ("mine, 16 samples", ["ddpo, 16 samples"])
    assert weights_at("mine@8", tmp_path, quiet) == str(run / "kept" / "00000008")
    with pytest.raises(RunError, match="mine@last"):
        runs.find_adapter(tmp_path, "mine")


def test_what_is_not_there_is_named(configure, tmp_path: Path) -> None:
    (tmp_path / "file@3").touch()
    for other in ("spo-sd15", "someone@hub", str(tmp_path / "file@3")):
        assert weights_at(other, tmp_path, quiet) == other
    with pytest.raises(MissingError, match="no run 'nobody'"):
        weights_at("nobody@8", tmp_path, quiet)
    run = train(configure("ddpo", "train.eval_every=0", samples=24), tmp_path / "runs" / "mine", log=quiet)
    with pytest.raises(MissingError, match="those after 16, 24; a run keeps its last 2 checkpoints"):
        weights_at("mine@8", tmp_path, quiet)
    file = run / "checkpoints" / "00000016" / "adapter-000.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    with pytest.raises(CorruptError, match="does not have the sha256"):
        weights_at("mine@16", tmp_path, quiet)
    for folder in (run / "checkpoints").iterdir():
        folder.rename(tmp_path / folder.name)
    (run / DONE).unlink()
    with pytest.raises(RunError, match="has no weights yet"):
        weights_at("mine@last", tmp_path, quiet)

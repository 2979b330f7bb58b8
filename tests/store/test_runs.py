"""Runs by id and path, and the state each is in."""

import json
from pathlib import Path

import pytest

from benchbench.errors import CorruptError, MissingError, RunError
from benchbench.runtime.hashing import file_sha256
from benchbench.runtime.sealed import write_sealed
from benchbench.store import root, runs
from benchbench.store.run_index import shown_runs


def make(store: Path, name: str, done: bool = True) -> Path:
    folder = store / "runs" / name
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"id": name, "model_hash": "m", "config": {"seed": 1}}))
    if done:
        (folder / runs.ADAPTER).write_bytes(b"weights")
        (folder / "done.json").write_text(json.dumps({"adapter_sha256": file_sha256(folder / runs.ADAPTER)}))
    return folder


def test_states(tmp_path: Path) -> None:
    make(tmp_path, "a")
    make(tmp_path, "b", done=False)
    (make(tmp_path, "c") / "run.json").write_text("{")
    (make(tmp_path, "d") / "done.json").write_text("[]")
    (make(tmp_path, "e") / runs.ADAPTER).unlink()
    found = {run.id: run.state for run in shown_runs(tmp_path)}
    assert found == {"a": "complete", "b": "resumable", "c": "damaged", "d": "damaged", "e": "damaged"}


def test_one_bad_run_hides_no_other(tmp_path: Path) -> None:
    make(tmp_path, "good")
    deep = "[" * 100_000 + "]" * 100_000
    contents = [deep, '{"config": ' + deep + "}", '{"config": 3}', "\0" * 9, "[]"]
    for number, content in enumerate(contents):
        (make(tmp_path, f"bad{number}") / "run.json").write_text(content)
    (make(tmp_path, "done") / "done.json").write_text(deep)
    assert [run.id for run in shown_runs(tmp_path) if run.state == "complete"] == ["good"]
    found = [runs.read(folder) for folder in runs.folders(tmp_path)]
    assert {run.id for run in found if run.state == "damaged"} == {"done", *(f"bad{n}" for n in range(len(contents)))}
    assert all("json: " in run.note for run in found if run.state == "damaged")


def test_a_run_is_found_by_id_and_by_path(tmp_path: Path) -> None:
    folder = make(tmp_path, "ddpo-0")
    assert runs.find(tmp_path, "ddpo-0") == runs.find(tmp_path / "elsewhere", folder)
    with pytest.raises(MissingError) as raised:
        runs.find(tmp_path, "ddpo-1")
    assert "ddpo-0" in raised.value.remedy


def test_adapters(tmp_path: Path) -> None:
    folder = make(tmp_path, "a")
    found = runs.find_adapter(tmp_path, "a")
    assert (found.label, found.hash, found.model_hash) == ("a", file_sha256(folder / runs.ADAPTER), "m")
    assert found.settings == {"seed": 1}
    make(tmp_path, "b", done=False)
    with pytest.raises(RunError, match="not finished"):
        runs.find_adapter(tmp_path, "b")
    (folder / runs.ADAPTER).write_bytes(b"weightz")
    with pytest.raises(CorruptError, match="damaged"):
        runs.find_adapter(tmp_path, "a")


def test_a_downloaded_adapter_needs_no_run(tmp_path: Path) -> None:
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / runs.ADAPTER).write_bytes(b"x")
    found = runs.find_adapter(tmp_path, tmp_path / "lora")
    assert (found.label, found.model_hash, found.settings) == ("lora", None, {})


def test_a_run_id_is_a_function_of_its_settings() -> None:
    one = runs.run_id("ddpo", "shapes", "shapes-colour", 0, {"lr": 1e-4})
    assert one == runs.run_id("ddpo", "shapes", "shapes-colour", 0, {"lr": 1e-4})
    assert one.startswith("ddpo-shapes-shapes-colour-s0-")
    assert one != runs.run_id("ddpo", "shapes", "shapes-colour", 0, {"lr": 2e-4})
    assert "/" not in runs.run_id("ddpo", "owner/model", "jpeg", 0, {})


def test_the_store_is_where_it_was_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_HOME", "there")
    assert (root(tmp_path), root()) == (tmp_path, Path("there"))
    monkeypatch.delenv("BENCH_HOME")
    assert root() == Path("bench-store")


def test_a_kill_in_the_midst_of_saving_leaves_no_weights(tmp_path: Path) -> None:
    """Temporary files, of ours and of the library that writes, are no kept weights and no LoRA."""
    folder = make(tmp_path, "a")
    for name in ("00000008", ".00000016.1-2.tmp"):
        (folder / runs.KEPT_FOLDER / name).mkdir(parents=True)
        (folder / runs.KEPT_FOLDER / name / f".{runs.ADAPTER}.1-2.tmp").write_bytes(b"half")
        (folder / runs.KEPT_FOLDER / name / f".{runs.ADAPTER}").write_bytes(
            (20).to_bytes(8, "little") + b'{"x.lora_A.weight":{'
        )
        header = b'{"x.lora_A.weight":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'
        (folder / runs.KEPT_FOLDER / name / ".left.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    assert runs.kept_weights(runs.find(tmp_path, "a")) == {}
    with pytest.raises(CorruptError, match="holds no weights"):
        runs.find_adapter(tmp_path, "a/kept/00000008")


def test_kept_weights_are_verified(tmp_path: Path) -> None:
    kept = make(tmp_path, "a") / runs.KEPT_FOLDER / "00000008"
    kept.mkdir(parents=True)
    (kept / runs.ADAPTER).write_bytes(b"weights")
    assert runs.find_adapter(tmp_path, "a/kept/00000008").hash == file_sha256(
        kept / runs.ADAPTER
    )  # of earlier versions
    write_sealed(kept / runs.KEPT_FILE, {"sha256": file_sha256(kept / runs.ADAPTER)})
    assert runs.find_adapter(tmp_path, "a/kept/00000008").label == "a, 8 samples"
    (kept / runs.ADAPTER).write_bytes(b"weightz")
    with pytest.raises(CorruptError, match="are damaged"):
        runs.find_adapter(tmp_path, "a/kept/00000008")


def test_a_run_whose_weights_cannot_be_told_is_damaged(tmp_path: Path) -> None:
    """One bad run hides no other, whatever is wrong with its weights."""
    make(tmp_path, "good")
    (make(tmp_path, "changed") / runs.ADAPTER).write_bytes(b"weightz")
    bad = make(tmp_path, "pickle")
    (bad / runs.ADAPTER).rename(bad / "pytorch_lora_weights.bin")
    found = {folder.name: runs.read(folder) for folder in runs.folders(tmp_path)}
    assert {name: run.state for name, run in found.items()} == {
        "good": "complete",
        "changed": "damaged",
        "pickle": "damaged",
    }
    assert "does not have the sha256" in found["changed"].note and "pickle of unknown origin" in found["pickle"].note

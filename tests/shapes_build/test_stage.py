"""A stage's folder appears whole or not at all."""

import os
from pathlib import Path

import pytest

from benchbench.shapes_build.build import _copy
from benchbench.shapes_build.stage import Facts, Stage, facts, is_done, run_stage


def stage(job: Stage) -> Facts:
    (job.folder / "weights").write_text("new")
    if job.seed == 1:
        raise KeyboardInterrupt
    return {"loss": 0.5}


@pytest.fixture(autouse=True)
def same_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.set_num_threads", lambda count: None)


def test_a_stage_that_ends_leaves_its_folder_and_facts(tmp_path: Path) -> None:
    (tmp_path / ".clip.1-2.tmp").mkdir()  # left by a kill
    run_stage(stage, tmp_path, "clip", 0, True, lambda line: None)
    assert is_done(tmp_path, "clip") and facts(tmp_path, "clip")["loss"] == 0.5
    assert os.listdir(tmp_path) == ["clip"]


def test_a_stage_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_stage(stage, tmp_path, "clip", 1, True, lambda line: None)
    assert not is_done(tmp_path, "clip") and os.listdir(tmp_path) == []


def test_a_copy_replaces_a_folder_and_a_file(tmp_path: Path) -> None:
    (tmp_path / "out" / "clip").mkdir(parents=True)
    (tmp_path / "out" / "clip" / "old").touch()
    run_stage(stage, tmp_path, "clip", 0, True, lambda line: None)
    _copy(tmp_path / "clip", tmp_path / "out" / "clip")
    _copy(tmp_path / "clip" / "weights", tmp_path / "out" / "weights")
    assert sorted(os.listdir(tmp_path / "out")) == ["clip", "weights"]
    assert sorted(os.listdir(tmp_path / "out" / "clip")) == ["facts.json", "weights"]

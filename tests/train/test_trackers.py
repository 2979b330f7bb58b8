"""Trackers follow a run, change nothing of it, and hold it up in no way."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchbench.errors import MissingError, UsageError
from benchbench.store.metrics import MetricsWriter, read_metrics
from benchbench.train import tracker_kinds, trackers
from benchbench.train.loop import train
from benchbench.train.tracker_kinds import KINDS, Kind, check
from benchbench.train.trackers import FILE, Trackers
from tests.train.test_loop import equal

PICTURES = [Image.new("RGB", (8, 8), colour) for colour in ("black", "white")]


class Fake:
    """A tracker that keeps what it is given, or fails where it is asked to."""

    def __init__(self, fails: str = "", waits: threading.Event | None = None) -> None:
        self.fails, self.waits = fails, waits
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.settings: dict[str, str] = {}
        self.shown: list[int] = []
        self.finished = False

    def _may_fail(self, where: str) -> None:
        if where == self.fails:
            raise ConnectionError(f"{where}: no network\nsecond line")

    def start(self) -> None:
        self._may_fail("start")

    def store_init_configuration(self, values: dict[str, str]) -> None:
        self.settings = values

    def log(self, values: dict[str, float], step: int) -> None:
        if self.waits:
            self.waits.wait(60)
        self._may_fail("log")
        self.rows.append((step, values))

    def finish(self) -> None:
        self._may_fail("finish")
        self.finished = True


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes the tracker ``fake`` one that the test gives."""

    def use(fake: Fake) -> Fake:
        def show(tracker: Fake, pictures: Any, samples: int) -> None:
            tracker.shown += [samples] * len(pictures)

        kind = Kind("json", "fake", lambda out, known: fake, lambda tracker: {"id": "7"}, show)
        monkeypatch.setitem(KINDS, "fake", kind)
        return fake

    return use


def test_a_tracked_run_is_the_run_without_a_tracker(configure: Any, tmp_path: Path, faked: Any) -> None:
    """Rows and pictures arrive; settings, identity and weights are the same."""
    fake, config, lines = faked(Fake()), configure("ddpo"), []
    plain = train(config, tmp_path / "plain", log=lambda _: None)
    tracked = train(config, tmp_path / "tracked", log=lines.append, track_with=["fake"])
    assert equal(plain, tracked) and not [line for line in lines if "warning" in line]
    digests = [json.loads((run / "run.json").read_text())["digest"] for run in (plain, tracked)]
    assert digests[0] == digests[1] == config.digest
    assert [step for step, _ in fake.rows] == [row["samples"] for row in read_metrics(tracked)]
    assert "eval/reward" in fake.rows[0][1] and fake.settings["train.lr"] == str(config.train.lr)
    assert fake.shown == [0] * 4 + [16] * 4 + [32] * 4 and fake.finished
    assert json.loads((tracked / FILE).read_text())["fake"] == {"id": "7", "started": True}


def test_a_training_goes_on_without_its_tracker(configure: Any, tmp_path: Path, faked: Any) -> None:
    faked(Fake("log"))
    lines: list[str] = []
    run = train(configure("ddpo", samples=16), tmp_path / "run", log=lines.append, track_with=["fake"])
    assert (run / "done.json").is_file()
    assert len([line for line in lines if line.startswith("warning: fake: ConnectionError: log: no network")]) == 1


@pytest.mark.parametrize("fails", ["start", "log", "finish"])
def test_a_tracker_that_fails_is_told_once(fails: str, tmp_path: Path, faked: Any) -> None:
    faked(Fake(fails))
    lines: list[str] = []
    following = Trackers(["fake"], tmp_path, {}, 0, lines.append)
    for samples in range(3):
        following.row(samples, {"reward": 1.0})
    following.close()
    [warning] = lines
    assert "fake" in warning and "no network" in warning and "second line" not in warning


def test_a_tracker_that_waits_holds_up_nothing(tmp_path: Path, faked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for a minute at its first row; three rows have room, and the end waits for a tenth of a second."""
    waits, lines = threading.Event(), list[str]()
    faked(Fake(waits=waits))
    monkeypatch.setattr(trackers, "WAITING", 3)
    monkeypatch.setattr(trackers, "PATIENCE", 0.1)
    started = time.monotonic()
    following = Trackers(["fake"], tmp_path, {}, 0, lines.append)
    for samples in range(20):
        following.row(samples, {"reward": 1.0})
    following.close()
    assert time.monotonic() - started < 5
    assert len(lines) == 1 and "misses rows" in lines[0]
    waits.set()


def test_no_secret_leaves_the_settings(tmp_path: Path, faked: Any) -> None:
    fake = faked(Fake())
    settings = {"reward": "http://me:pass-word@host:1", "settings": {"api_key": "abc", "beta": 0.1}}
    Trackers(["fake"], tmp_path, settings, 0, print).close()
    assert fake.settings == {"reward": "http://***@host:1", "settings.api_key": "***", "settings.beta": "0.1"}


def test_what_cannot_track_is_refused_before_the_start(configure: Any, tmp_path: Path, faked: Any) -> None:
    with pytest.raises(UsageError, match="no tracker 'tensorbord'") as error:
        check(["tensorbord"])
    assert "did you mean tensorboard?" in error.value.cause
    faked(Fake())
    object.__setattr__(KINDS["fake"], "package", "not_installed_here")
    with pytest.raises(MissingError) as missing:
        train(configure("ddpo"), tmp_path / "run", log=lambda _: None, track_with=["fake"])
    assert "pip install fake" in missing.value.remedy and not (tmp_path / "run").exists()


def test_tensorboard_gets_rows_and_pictures_and_a_resumed_run_goes_on(tmp_path: Path) -> None:
    """The row at 32 images was logged before the run was killed and resumed at 16: only the second one counts."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for samples, rows in ((0, {0: 1.0, 16: 2.0, 32: 99.0}), (16, {32: 3.0})):
        following = Trackers(["tensorboard"], tmp_path, {"train": {"lr": 1e-3}}, samples, pytest.fail)
        for seen, value in rows.items():
            following.row(seen, {"eval.reward": value})
        following.pictures(max(rows), PICTURES)
        following.close()
        time.sleep(1)  # files are read in the order of their names, which begin with the second of their start
    events = EventAccumulator(str(tmp_path / "trackers" / tmp_path.name), size_guidance={"images": 0}).Reload()
    assert [(event.step, event.value) for event in events.Scalars("eval/reward")] == [(0, 1), (16, 2), (32, 3)]
    assert events.Tags()["images"]
    assert len(list((tmp_path / "trackers").rglob("hparams.yml"))) == 1


def test_mlflow_gets_rows_and_pictures_and_a_resumed_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Needs mlflow, or mlflow-skinny; a file store."""
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    for samples in (0, 16):
        following = Trackers(["mlflow"], tmp_path, {"train": {"lr": 1e-3}}, samples, pytest.fail)
        following.row(samples, {"eval.reward": float(samples)})
        following.pictures(samples, PICTURES)
        following.close()
    client = mlflow.MlflowClient()
    [experiment] = client.search_experiments(filter_string=f"name = '{tracker_kinds.PROJECT}'")
    [run] = client.search_runs([experiment.experiment_id])
    assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "eval/reward")] == [(0, 0), (16, 16)]
    assert run.data.params["train.lr"] == "0.001" and run.info.status == "FINISHED"
    assert len(client.list_artifacts(run.info.run_id, tracker_kinds.PICTURES)) == 2


def test_wandb_writes_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Needs wandb."""
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    ids = []
    for samples in (0, 16):
        following = Trackers(["wandb"], tmp_path, {"train": {"lr": 1e-3}}, samples, pytest.fail)
        following.row(samples, {"eval.reward": float(samples)})
        following.pictures(samples, PICTURES)
        following.close()
        ids.append(json.loads((tmp_path / FILE).read_text())["wandb"]["id"])
    assert ids[0] == ids[1]
    assert sys.exit.__module__ == "sys"  # wandb's own would hide from `bench` who ends the process
    written = list((tmp_path / "trackers").rglob("*.wandb"))
    assert len(written) == 2 and all(ids[0] in path.name for path in written)
    assert len(list((tmp_path / "trackers").rglob("*.png"))) == 4


def test_trackio_gets_rows_and_pictures_and_a_resumed_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Needs trackio, which reads its folder when it is imported."""
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    names = []
    for samples in (0, 16):
        following = Trackers(["trackio"], tmp_path, {"train": {"lr": 1e-3}}, samples, pytest.fail)
        following.row(samples, {"eval.reward": float(samples)})
        following.pictures(samples, PICTURES)
        following.close()
        names.append(json.loads((tmp_path / FILE).read_text())["trackio"]["name"])
    assert names == [tmp_path.name] * 2
    pictures = list((tmp_path / "trackio" / "media").rglob("*.png"))
    assert sorted(path.parent.name for path in pictures) == ["0", "16"]


def test_the_local_board_keeps_the_row_of_the_checkpoint_that_a_run_resumes_from(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first = MetricsWriter(tmp_path, 0, 0)
    first.row(16, {"reward": 1.0})
    kept = first.bytes
    first.row(32, {"reward": 99.0})
    first.close()
    resumed = MetricsWriter(tmp_path, kept, 16)
    resumed.row(32, {"reward": 2.0})
    resumed.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("reward")] == [(16, 1), (32, 2)]

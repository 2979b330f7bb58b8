"""Several processes make the images of one evaluation: the same ones, each once, and nothing is lost by a kill."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchbench import prompts
from benchbench.api import PromptSet
from benchbench.errors import CorruptError, RunError, UsageError
from benchbench.evaluate import draw_in_jobs
from benchbench.evaluate.draw_in_jobs import backend_for
from benchbench.evaluate.measure import Measured, measure
from benchbench.store.image_index import read_index
from tests.forked import Forked, forked_jobs

__all__ = ["forked_jobs"]

FEW = PromptSet("few", prompts.load("shapes-simple").prompts[:10], "made here", "none")


def evaluated(store: Path, **options: Any) -> Measured:
    settings: dict[str, Any] = {"sampler": {"steps": 2}, "images_per_prompt": 2, "device": "cpu", "batch_size": 4}
    settings |= {"log": lambda line: None, **options}
    return measure("shapes", {"base": []}, FEW, ["jpeg_compressibility"], store=store, **settings)


def files(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.rglob("*.webp")}


@pytest.mark.slow
@pytest.mark.usefixtures("forked_jobs")
def test_two_processes_make_the_same_images(tmp_path: Path) -> None:
    """Twenty images in five batches. What is missing after a loss is made by jobs, too, and nothing else is."""
    said: list[str] = []
    one = evaluated(tmp_path / "one")
    two = evaluated(tmp_path / "two", jobs=2, log=said.append)
    assert files(tmp_path / "two") == files(tmp_path / "one") and len(files(tmp_path / "one")) == 20
    assert two.record["spent"]["images"] == 20 and two.record["spent"]["unet_evals"] == 40
    assert one.frames["base"].equals(two.frames["base"])
    assert "20 images are missing; 2 processes make them" in said
    [folder] = (tmp_path / "two" / "images").iterdir()
    assert len(read_index(folder)) == 20
    written = {path: path.stat().st_mtime_ns for path in folder.glob("*.webp")}
    lost = [folder / "00000-00.webp", folder / "00009-01.webp"]  # of the first and the last batch
    for path in lost:
        path.unlink()
    again = evaluated(tmp_path / "two", jobs=2)
    assert again.record["spent"]["images"] == 2 and again.record["spent"]["unet_evals"] == 16
    assert files(tmp_path / "two") == files(tmp_path / "one")
    assert {path: path.stat().st_mtime_ns for path in written if path not in lost} == {
        path: made for path, made in written.items() if path not in lost
    }
    assert not list((tmp_path / "two" / "logs").glob("draw-*/"))


def test_nothing_starts_where_nothing_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated(tmp_path)
    monkeypatch.setattr(draw_in_jobs, "run", lambda *_, **__: pytest.fail("a job was started"))
    assert evaluated(tmp_path, jobs=2).record["spent"]["images"] == 0
    [folder] = (tmp_path / "images").iterdir()
    (folder / "00000-00.webp").unlink()
    assert evaluated(tmp_path, jobs=2).record["spent"]["images"] == 1  # one batch is made here


COMMAND = """
import sys, pathlib
from benchbench.runtime.interrupt import signals_as_ctrl_c
from tests.evaluate.test_draw_in_jobs import evaluated
from tests.forked import fork_jobs
fork_jobs()
with signals_as_ctrl_c():
    evaluated(pathlib.Path(sys.argv[1]), jobs=2, batch_size=1, images_per_prompt=8, sampler={"steps": 20})
"""


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_interruption_leaves_whole_images_and_no_process(tmp_path: Path, number: signal.Signals) -> None:
    """The next command makes the rest; what was there is not made again."""
    process = Forked(["-c", COMMAND, str(tmp_path)], tmp_path / "command.log")
    deadline = time.monotonic() + 120
    while len(files(tmp_path)) < 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    started = _children(process.pid)
    os.kill(process.pid, number)
    process.wait(timeout=60)
    while any(map(_is_running, started)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(started) == 2 and not any(map(_is_running, started))
    made = files(tmp_path)
    assert 4 <= len(made) < 80
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.webp")}
    options: dict[str, Any] = {"batch_size": 1, "images_per_prompt": 8, "sampler": {"steps": 20}}
    rest = evaluated(tmp_path, **options)
    assert rest.record["spent"]["images"] == 80 - len(made)
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert not list(tmp_path.rglob(".*.tmp"))


def _children(process: int) -> list[int]:
    """Returns the ids of the processes that a process has started and that still run."""
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(place.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == process:
            found.append(int(place.parent.name))
    return [pid for pid in found if _is_running(pid)]


def _is_running(process: int) -> bool:
    """Returns True until a process has ended; one that nobody has waited for has no command line any more."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes() != b""
    except OSError:
        return False


def test_a_failed_process_ends_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error has three lines, of which the last names the log; what others made is kept."""
    monkeypatch.setattr(draw_in_jobs, "MODULE", "benchbench.evaluate.no_such_job")
    with pytest.raises(RunError) as raised:
        evaluated(tmp_path, jobs=2)
    assert "No module named" in raised.value.cause and "draw-" in raised.value.remedy
    assert not list((tmp_path / "logs").glob("draw-*/"))


@pytest.mark.long
def test_weights_that_changed_meanwhile_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shares = draw_in_jobs._shares
    monkeypatch.setattr(
        draw_in_jobs,
        "_shares",
        lambda part: [s.model_copy(update={"key": {**s.key, "model_hash": "another"}}) for s in shares(part)],
    )
    with pytest.raises(CorruptError, match="failed") as raised:
        evaluated(tmp_path, jobs=2)
    assert "have changed" in raised.value.cause and files(tmp_path) == {}


@pytest.mark.long
def test_edits_are_made_by_processes_too(tmp_path: Path) -> None:
    """Their sources travel with them."""
    edits = prompts.load("shapes-edits")
    few = PromptSet("edits", edits.prompts[:6], "made here", "none")
    stores = [tmp_path / name for name in ("one", "two")]
    for store, jobs in zip(stores, (1, 2), strict=True):
        measure(
            "shapes",
            {"base": []},
            few,
            ["jpeg_compressibility"],
            store=store,
            sampler={"steps": 4, "strength": 0.5},
            images_per_prompt=1,
            device="cpu",
            batch_size=3,
            jobs=jobs,
            log=lambda line: None,
        )
    assert files(stores[0]) == files(stores[1]) and len(files(stores[0])) == 6
    path = next(stores[0].rglob("*.webp"))
    assert np.asarray(Image.open(path)).std() > 0


@pytest.mark.parametrize(
    ("jobs", "device", "here", "slots"),
    [
        (None, None, ("0", "1", "2"), 3),
        (None, None, ("0",), 0),
        (None, None, (), 0),
        (2, None, (), 2),
        (1, None, ("0", "1"), 0),
        (None, "cuda", ("0", "1"), 0),
        (None, "cuda:1", ("0", "1"), 0),
        (2, "cuda", ("0", "1"), 2),
        (2, "cpu", ("0", "1"), 2),
        (None, "cpu", ("0", "1"), 0),
    ],
)
def test_where_images_are_made(
    monkeypatch: pytest.MonkeyPatch, jobs: int | None, device: str | None, here: tuple[str, ...], slots: int
) -> None:
    monkeypatch.setattr(draw_in_jobs, "gpus", lambda: here)
    backend = backend_for(jobs, device)
    assert (backend.slots if backend else 0) == slots
    assert backend is None or backend.devices == (() if device == "cpu" else here)


def test_processes_do_not_share_a_named_gpu() -> None:
    with pytest.raises(UsageError, match="--jobs 2 on the device cuda:1"):
        backend_for(2, "cuda:1")

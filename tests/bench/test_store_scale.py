"""A repeated look through a large store reads its indices and no picture; full sizes are in ``make test-long``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchbench.cli import list_rows
from benchbench.evaluate.measure import measure
from benchbench.store import run_index
from benchbench.store.images import ImageStore
from tests.bench.store_scale import REWARDS, adapters, measure_store, prompt_set, write_images, write_runs


def test_a_second_look_reads_no_picture_and_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither pictures nor scores are made, since the synthetic store has the real layout and keys."""
    store = tmp_path / "store"
    write_images(store, rows=2, prompts=9, images=2)
    write_runs(store, 12)
    monkeypatch.setattr(run_index, "SETTLED", -1)
    first = list_rows.runs(store)
    monkeypatch.setattr(ImageStore, "_try", lambda *_: pytest.fail("a picture was read"))
    monkeypatch.setattr(run_index, "read", lambda folder: pytest.fail("a run was read"))
    rows = {"base": [], "row01": adapters(store, 2)}
    found = measure(
        "shapes", rows, prompt_set(9), REWARDS, store=store, images_per_prompt=2, device="cpu", log=lambda line: None
    )
    assert (found.record["spent"]["images"], found.record["spent"]["reward_calls"]) == (0, 0)
    assert {label: len(frame) for label, frame in found.frames.items()} == {"base": 36, "row01": 36}
    assert list_rows.runs(store) == first and [row[1] for row in first].count("complete") == 10


@pytest.mark.long
@pytest.mark.parametrize(("rows", "prompts", "images"), [(20, 500, 10), (1, 20_000, 5)])
def test_full_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: int, prompts: int, images: int) -> None:
    """10^5 images take at most 6 times the CPU time of a plain walk through them, and 10^4 runs 5 times.

    On the machine of docs/scale.md that is less than 2 s and 1 s.
    """
    spent = measure_store(tmp_path / "store", rows, prompts, images, 10_000)
    with capsys.disabled():
        print(f"\n{json.dumps(spent)}")
    assert (spent["images"], spent["runs"]) == (100_000, 10_000)
    assert spent["generate cpu"] + spent["score cpu"] < 6 * spent["walk cpu"]
    assert spent["list cpu"] < 5 * spent["walk of runs cpu"]

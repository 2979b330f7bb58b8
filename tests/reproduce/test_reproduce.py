"""``reproduce`` for real, at a small size on the shapes world: killed with -9, run again, and its report."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.forked import Forked, run

SMALL = """
import sys
from pathlib import Path
from benchbench.reproduce import run as reproduce, spec
from benchbench.runtime.backends.choice import BackendChoice
from tests.forked import fork_jobs

fork_jobs()
found = spec.load("tailorpo:2")
one = spec.Block(prompts="shapes-simple", images=1, published="animals")
small = found.tracks["shapes"].model_copy(update={"samples": 16, "blocks": [one], "quick_blocks": []})
reproduce.load = lambda table: found.model_copy(update={"tracks": {"shapes": small}})
two = BackendChoice(jobs=2)
reproduce.reproduce("tailorpo:2", store=Path(sys.argv[1]), quick=True, rows=["tailorpo", "ddpo"], where=two)
"""


@pytest.mark.slow
def test_killed_and_run_again(tmp_path: Path) -> None:
    """What was complete is not trained again, the second run ends with a report, a third makes nothing."""
    store = tmp_path / "store"
    words = ["-c", SMALL, str(store)]
    first = Forked(words, tmp_path / "first.log", new_session=True)
    deadline = time.monotonic() + 300
    while not list(store.glob("runs/*/done.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    complete = {path: path.stat().st_mtime_ns for path in store.glob("runs/*/done.json")}
    assert complete and not list(store.glob("reports/*/*.html"))

    status, said = run(words, tmp_path / "second.log")
    assert status == 0, said
    assert len(list(store.glob("runs/*/done.json"))) == 2
    assert all(path.stat().st_mtime_ns == when for path, when in complete.items())
    (page,) = store.glob("reports/*/report-QUICK.html")
    assert f"report: {page}" in said and "QUICK" in said
    assert "The order is" in said or "shapes-colour: ours" in said
    (table,) = store.glob("reports/*/tailorpo-2-training-QUICK.csv")
    lines = table.read_text().splitlines()
    assert len(lines) == 1 + 3 * 2  # base, ddpo, tailorpo on the reward and on the oracle

    files = {
        p: p.stat().st_mtime_ns
        for kind in ("runs", "images", "scores")
        for p in (store / kind).rglob("*.*")
        if p.suffix != ".lock"
    }
    assert run(words, tmp_path / "third.log")[0] == 0
    assert {p: p.stat().st_mtime_ns for p in files} == files

    one = next(iter(store.glob("images/*/00003-00.webp")))
    one.unlink()
    assert run(words, tmp_path / "fourth.log")[0] == 0
    changed = [p for p, when in files.items() if p.suffix == ".webp" and p.stat().st_mtime_ns != when]
    assert changed == [one]
    assert json.loads((next(iter(complete)).parent / "run.json").read_text())["config"]["samples"] == 16

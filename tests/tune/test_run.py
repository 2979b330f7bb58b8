"""A search from its start to a training with its preset, at the smallest size."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from benchbench import config
from benchbench.errors import UsageError
from benchbench.reproduce.table_status import job_status
from benchbench.runtime.backends.local import LocalAttempt, LocalBackend
from benchbench.runtime.jobs import Job
from benchbench.store import runs
from benchbench.tune.plan import make_plan
from benchbench.tune.run import tune
from benchbench.tune.search import Search, make_search, read
from tests.forked import forking_jobs

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("tune")]  # one process makes ``made``


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Search, Path, Path, list[str]]:
    """The search, its store, the preset that it chose, and the lines that it printed."""
    folder = tmp_path_factory.mktemp("tune")
    prompts = folder / "validation.txt"
    prompts.write_text("a large red circle on a blue background\na small green ring on the left\n")
    options = {"validation": str(prompts), "rates": [4e-3], "seeds": [100], "budget": 4, "max_loss": 1.0}
    search = make_search("ddpo", "shapes", "shapes-colour", **options)  # type: ignore[arg-type]
    lines: list[str] = []
    with forking_jobs():
        preset = tune(search, folder / "store", log=lines.append)
    assert preset is not None
    return search, folder / "store", preset, lines


def test_the_preset_trains_as_the_chosen_checkpoint(made: tuple[Search, Path, Path, list[str]]) -> None:
    """Its record leads to the runs and the hashes of their weights."""
    _, store, preset, lines = made
    content = yaml.safe_load(preset.read_text())
    chosen, record = content["record"]["chosen"], content["record"]
    run = config.load("ddpo", "shapes", "shapes-colour", "shapes-simple", chosen["samples"], 0, str(preset))
    assert run.train.lr == chosen["lr"] and run.train.batch == 16 and run.preset.startswith("tuned-")
    for kept in record["runs"]:
        folder = store / "runs" / kept["id"] / "kept" / f"{chosen['samples']:08d}"
        assert runs.find_adapter(store, folder).hash == kept["weights_sha256"]
    assert record["tried"] == [chosen] and record["git"] and record["time"]
    assert chosen["nfe"] == 4 * 31 and chosen["reward_calls"] == 4
    assert any(line.startswith("chosen: train.lr=") for line in lines)


def test_its_report_marks_the_choice(made: tuple[Search, Path, Path, list[str]]) -> None:
    _, store, preset, _ = made
    report = store / yaml.safe_load(preset.read_text())["record"]["report"]
    text = (report / "report.md").read_text()
    assert "(chosen) |" in text and "seed 100 (chosen) |" in text
    assert "shapes-oracle" in text and (report / "report.html").read_text().count("<svg") >= 1


def test_the_same_command_starts_nothing_and_its_file_shows_each_job(
    made: tuple[Search, Path, Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    search, store, preset, _ = made
    started: list[str] = []
    start = LocalBackend.start

    def noted(self: LocalBackend, job: Job) -> LocalAttempt:
        started.append(job.name)
        return start(self, job)

    monkeypatch.setattr(LocalBackend, "start", noted)
    before = preset.read_bytes()
    assert tune(search, store, log=lambda _: None) == preset
    assert started == [] and preset.read_bytes() == before
    again = read(search.file(store))
    assert again == search
    states = [job.state for job in job_status(make_plan(again, store), store)]
    assert states == ["done"] * 3  # a training, the base model, and the checkpoints of the training


def test_another_file_is_not_overwritten(made: tuple[Search, Path, Path, list[str]], tmp_path: Path) -> None:
    search, store, _, _ = made
    file = tmp_path / "mine.yaml"
    file.write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        tune(search, store, out=file, log=lambda _: None)
    assert file.read_text() == "mine"

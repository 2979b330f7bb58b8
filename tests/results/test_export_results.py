"""Reports of tables are copied out of a store without their pictures."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from benchbench.report import folder
from benchbench.report.scores_file import write_scores
from results.export_results import export_results, main
from tests.report.pages import PAGE


def test_the_newest_whole_report_of_each_table(tmp_path: Path) -> None:
    """Of spo:3 there are an old report, a newer one and a quick one: the newer one is taken. Then a protocol's."""
    results = tmp_path / "results"
    assert export_results(tmp_path, results) == []
    old = folder.write(tmp_path, "spo-3-shapes", PAGE.model_copy(update={"title": "old"}))
    os.utime(old / "page.json", (0, 0))
    new = folder.write(tmp_path, "spo-3-shapes", PAGE.model_copy(update={"title": "new"}))
    write_scores(new, {"spo-3": {"base": pd.DataFrame({"score": [1.0, 2.0]})}})
    folder.write(tmp_path, "spo-3-shapes", PAGE.model_copy(update={"quick": True}))
    folder.write(tmp_path, "cost-shapes-simple", PAGE)
    folder.write(tmp_path, "cost-shapes-simple", PAGE.model_copy(update={"quick": True, "title": "quick"}))
    folder.write(tmp_path, "cost-animals", PAGE)  # of another world
    assert export_results(tmp_path, results) == ["spo:3", "cost"]
    assert "# quick" not in (results / "cost" / "report.md").read_text(encoding="utf-8")
    assert sorted(path.name for path in results.iterdir()) == ["cost", "spo-3"]
    assert (results / "spo-3" / "report.md").read_text(encoding="utf-8").startswith("# new\n")
    records = next(section.records for section in PAGE.sections if section.kind == "records")
    assert json.loads((results / "spo-3" / "record.json").read_text(encoding="utf-8")) == records
    assert {path.suffix for path in (results / "spo-3").iterdir()} == {".md", ".csv", ".json", ".parquet"}


def test_a_sweep_keeps_its_page_and_small_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(tmp_path, "mine", PAGE)
    results = tmp_path / "results"
    assert export_results(tmp_path, results, ["mine"]) == ["mine"]
    kinds = [section.kind for section in folder.read(results / "mine").sections]
    assert kinds == [section.kind for section in PAGE.sections] and "grid" in kinds
    monkeypatch.setattr("results.export_results.LARGEST_PAGE", 100)
    export_results(tmp_path, results, ["mine"])
    kept = [section.kind for section in folder.read(results / "mine").sections]
    assert kept == [kind for kind in kinds if kind not in ("grid", "pairs")]


def test_a_leaderboard_of_no_sweep_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    board = tmp_path / "board"
    words = ["export_results.py", str(tmp_path / "store"), str(tmp_path / "results"), "--leaderboard", str(board)]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit):
        main()
    assert "--sweeps" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", [*words, "--sweeps", "mine"])
    assert main() != 0 and "is not a report" in capsys.readouterr().err
    assert not board.exists()

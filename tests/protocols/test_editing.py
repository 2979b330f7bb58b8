"""The protocol editing: shares, their table and the page, on the embedded model and on made-up rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from benchbench import prompts
from benchbench.api import PromptSet
from benchbench.errors import UsageError
from benchbench.protocols import PROTOCOLS
from benchbench.protocols.editing import EditingSettings, attribute_table
from benchbench.protocols.run import ProtocolResult, run_protocol
from benchbench.report.folder import PAGE_DATA
from benchbench.report.scores_file import NAME

QUIET: Any = {"device": "cpu", "log": lambda _: None}


def few(count: int = 5) -> PromptSet:
    found = prompts.load("shapes-edits")
    return replace(found, prompts=found.prompts[:count])


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[ProtocolResult, Path]:
    store = tmp_path_factory.mktemp("store")
    overrides = ["strengths=[0.2,1]", "images_per_prompt=2", "sampler={steps: 10}"]
    return run_protocol(
        "editing", [], "shapes", few(), "shapes-oracle", store=store, overrides=overrides, **QUIET
    ), store


def test_the_base_has_a_row_for_each_strength_between_two_bounds(measured: tuple[ProtocolResult, Path]) -> None:
    """The embedded VAE gives sources back so well that the oracle reads all of them; of perfect edits it loses some."""
    table = measured[0].table
    bounds = ("source, only encoded and decoded", "perfect edit, only encoded and decoded", "base, without a source")
    assert table.rows == (*bounds, "base, strength 0.2", "base, strength 1")
    values = ("changed", "kept", "both")
    assert tuple(column.key for column in table.columns) == values
    source, perfect = ({value: table.cells[row][value].value for value in values} for row in bounds[:2])
    assert source == {"changed": 0, "kept": 1, "both": 0}
    assert perfect["kept"] > 0.7 and perfect["changed"] > 0.7 and perfect["both"] > 0.5
    weak, strong = table.cells["base, strength 0.2"], table.cells["base, strength 1"]
    assert weak["kept"].value > strong["kept"].value
    assert weak["kept"].images == 10 and weak["kept"].prompts == 5
    frame = measured[0].frames["base"]
    assert len(frame) == 5 * 10 and (frame.both == frame.changed * frame.kept).all()


def test_edits_have_the_strength_in_their_key_and_are_made_once(measured: tuple[ProtocolResult, Path]) -> None:
    result, store = measured
    records = [json.loads(path.read_text()) for path in store.glob("images/*/record.json")]
    samplers = sorted((record["key"]["sampler"] for record in records), key=str)
    whole = {"steps": 10, "eta": 1.0, "guidance_scale": 5.0}
    assert samplers == sorted(
        [*[{"strength": 0.0}] * 2, whole, whole | {"strength": 0.2}, whole | {"strength": 1.0}], key=str
    )
    times = {path: path.stat().st_mtime_ns for path in store.rglob("*.webp")}
    overrides = ["strengths=[0.2,1]", "images_per_prompt=2", "sampler={steps: 10}"]
    again = run_protocol("editing", [], "shapes", few(), "shapes-oracle", store=store, overrides=overrides, **QUIET)
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*.webp")} == times and len(times) == 50
    assert again.table == result.table


def test_the_page_shows_sources_and_edits_under_their_instructions(measured: tuple[ProtocolResult, Path]) -> None:
    """Five prompts, one of each attribute; the notes are what the frames say."""
    folder, frame = measured[0].folder, measured[0].frames["base"]
    page = json.loads((folder / PAGE_DATA).read_text())
    (grid,) = [section for section in page["sections"] if section["kind"] == "grid"]
    assert [row["label"] for row in grid["rows"]] == ["source", "base, strength 0.2", "base, strength 1"]
    assert grid["prompts"][0] == "make the diamond cyan (prompt: a small cyan diamond on the left on a blue background)"
    words = {(1.0, 1.0): "changed, kept", (1.0, 0.0): "changed", (0.0, 1.0): "kept", (0.0, 0.0): "neither"}
    first = frame[(frame.edit == "strength 1") & (frame["sample"] == 0)]
    assert grid["rows"][2]["notes"] == [words[pair] for pair in zip(first.changed, first.kept, strict=True)]
    text = (folder / "report.html").read_text()
    assert "make the diamond cyan" in text and "without a source" in text
    assert (folder / "editing-shapes-edits-by-attribute.csv").is_file()
    assert (folder / f"{NAME}.parquet").is_file() and (folder / "samples.png").is_file()


def test_the_shares_are_those_of_the_rows() -> None:
    """Two prompts, two edits each: changed 3 of 4, kept 2 of 4, both 1 of 4; of colour alone 1 of 2."""
    rows = pd.DataFrame(
        {
            "edit": "strength 0.5",
            "prompt_index": [0, 0, 1, 1],
            "attribute": ["colour", "colour", "size", "size"],
            "changed": [1.0, 1, 1, 0],
            "kept": [1.0, 0, 0, 1],
            "both": [1.0, 0, 0, 0],
        }
    )
    table = PROTOCOLS["editing"].table({"dspo": rows}, EditingSettings())
    cells = table.cells["dspo, strength 0.5"]
    assert {name: cell.value for name, cell in cells.items()} == {"changed": 0.75, "kept": 0.5, "both": 0.25}
    assert cells["changed"].prompts == 2 and cells["changed"].low is not None
    by_attribute = attribute_table({"dspo": rows}, table)
    assert [column.key for column in by_attribute.columns] == ["colour", "size"]
    cells = by_attribute.cells["dspo, strength 0.5"]
    assert {name: (cell.value, cell.images) for name, cell in cells.items()} == {"colour": (0.5, 2), "size": (0, 2)}


@pytest.mark.parametrize(
    ("set_name", "reward", "said"),
    [
        ("shapes-simple", "shapes-oracle", "shapes-simple cannot be judged by the oracle"),
        ("shapes-edits", "shapes-colour", "editing is not measured under shapes-colour"),
    ],
)
def test_what_the_oracle_cannot_judge_is_refused(tmp_path: Path, set_name: str, reward: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        run_protocol("editing", [], "shapes", prompts.load(set_name), reward, store=tmp_path, **QUIET)
    assert len(str(error.value).splitlines()) == 3


def test_strengths_lie_above_0_and_at_most_at_1() -> None:
    for wrong in ([], [0], [1.1]):
        with pytest.raises(ValidationError):
            EditingSettings(strengths=wrong)


def test_a_strength_without_a_step_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"strength 0\.01 of 20 steps leaves no step"):
        options: Any = {"store": tmp_path, "overrides": ["strengths=[0.5,0.01]"], **QUIET}
        run_protocol("editing", [], "shapes", few(), "shapes-oracle", **options)
    assert not list(tmp_path.rglob("*.webp"))

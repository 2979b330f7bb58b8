"""Every table's YAML file: its names exist, its published values meet it, and its plan can be made on every track."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchbench import prompts, registry
from benchbench.reproduce import estimate, jobs, spec
from benchbench.reproduce.plan import Plan, missing, plan, trained_on

TRACKS = [(name, track) for name in spec.names() for track in spec.load(name).tracks]
CHEAP = {("tailorpo:1", "shapes"), ("tailorpo:6", "sd15"), ("spo:3", "shapes"), ("dspo:3", "sd15"), ("dspo:5", "sd15")}
"""One of each kind of protocol; the others are the same code on other names."""
EACH = [pytest.param(*one, marks=[] if one in CHEAP else [pytest.mark.slow]) for one in TRACKS]


def make(name: str, track: str, store: Path) -> Plan:
    found = spec.load(name)
    return plan(found, track, spec.track_of(found, track), store)


@pytest.mark.parametrize("name", spec.names())
def test_every_table_is_sound(name: str) -> None:
    """Methods, rewards and prompts are registered; every published row and column is one of the table's."""
    found = spec.load(name)
    assert found.id == name and found.paper_track in found.tracks and "shapes" in found.tracks
    rows, columns = {r.partition(": ")[0] for r, _ in found.values()}, {c for _, c in found.values()}
    assert rows <= set(found.rows), "the paper has rows that the file does not name"
    for row in found.rows.values():
        assert row.method is None or row.method in registry.names("methods")
    for track in found.tracks.values():
        assert set(track.rewards.values()) <= columns or found.protocol != "reward-table"
        assert set(track.quick_rewards) <= set(track.rewards) <= set(registry.names("rewards"))
        assert all(trained_on(row, track, "aesthetic") in registry.names("rewards") for row in found.rows.values())
        for block in track.blocks:
            assert prompts.find(block.prompts) and (block.published is None or found.values(block.published))
        assert prompts.find(track.train_prompts)
    own = found.tracks[found.paper_track]
    if found.protocol in ("reward-table", "win-rate"):
        assert columns == set(own.rewards.values()), "on the paper's own model every published column is made"


@pytest.mark.parametrize(("name", "track"), EACH)
def test_every_plan_can_be_made(name: str, track: str, tmp_path: Path) -> None:
    """Nothing is left out but what the file says or a reward cannot do, and the plan's parts fit together."""
    cells = make(name, track, tmp_path)
    assert {m.row for m in cells.measurements} == {*cells.rows} - {*cells.track.unavailable}
    outs = {str(t.out) for t in cells.trainings}
    assert {run for m in cells.measurements for run in m.runs} == outs
    work = [*jobs.trainings(cells, tmp_path), *jobs.measurements(cells, tmp_path)]
    assert len({task.log for task in work}) == len(work)
    assert (estimate.seconds(cells) > 0) == (cells.track.model == "shapes")
    train, look = estimate.evaluations(cells)
    assert (train > 0) == bool(cells.trainings) and (look > 0) == (cells.spec.protocol != "curve")
    if track == "shapes":
        assert not list(missing(cells))


def test_tables_share_their_trainings(tmp_path: Path) -> None:
    """Of 60 trainings of Tables 2 to 10 with one seed, those with the same settings are one and the same run."""

    def outs(name: str) -> set[str]:
        return {training.out.name for training in make(name, "shapes", tmp_path).trainings}

    two = outs("tailorpo:2")
    assert outs("tailorpo:3") == two and outs("tailorpo:4") < two
    assert len(outs("tailorpo:10") - two) == 1  # ranking alone
    assert len(outs("tailorpo:8") - two) == 6 and len(outs("tailorpo:9") - two) == 9
    spo = {name: outs(f"spo:{name}") for name in (3, 5, 6, 7, 8)}
    (_,) = set.intersection(*spo.values())  # the default
    assert [len(found) - 1 for found in spo.values()] == [3, 2, 5, 3, 1]


def test_settings_of_a_row_reach_its_training(tmp_path: Path) -> None:
    """On shapes the strengths of Table 9 are five times those that name the rows; on SD 1.5 they are those."""
    for track, factor in (("shapes", 5.0), ("sd15", 1.0)):
        eta = {t.row: t.config.settings["eta"] for t in make("tailorpo:9", track, tmp_path).trainings}
        assert [eta[row] for row in ("eta-0.1", "eta-0.2", "eta-0.5")] == [0.1 * factor, 0.2 * factor, 0.5 * factor]
        assert eta["eta-cosine"] == [0.1 * factor, 0.2 * factor]


def test_a_precision_reaches_every_measurement_and_no_training(tmp_path: Path) -> None:
    plain = make("tailorpo:2", "shapes", tmp_path)
    half = replace(plain, dtype="bf16")
    for cells, word in ((plain, "auto"), (half, "bf16")):
        assert {jobs.cell(cells, one, {}, []).dtype for one in cells.measurements} == {word}
        assert {one.config.train.dtype for one in cells.trainings} == {"auto"}


def test_a_checkpoint_stands_in_for_a_training(tmp_path: Path) -> None:
    found = spec.load("tailorpo:10")
    cells = plan(found, "shapes", found.tracks["shapes"], tmp_path, checkpoints={"tailorpo-g": "some-run"})
    assert {t.config.method for t in cells.trainings} == {"tailorpo"}
    (one,) = (m for m in cells.measurements if m.row == "ranking+same-input+guidance")
    assert one.runs == ("some-run",)


def test_quick_is_a_few_rows_where_the_table_says_so(tmp_path: Path) -> None:
    """Of tailorpo:2 the four methods that train on its column; rows that are asked for are made all the same."""
    found = spec.load("tailorpo:2")
    track = found.tracks["shapes"]
    quick = plan(found, "shapes", track, tmp_path, quick=True)
    assert [training.row for training in quick.trainings] == ["ddpo", "d3po", "tailorpo", "tailorpo-g"]
    assert plan(found, "shapes", track, tmp_path, rows=["spo"], quick=True).rows == ("base", "spo")
    assert "spo" in plan(found, "shapes", track, tmp_path).rows

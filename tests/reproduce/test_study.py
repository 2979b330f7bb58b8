"""A user study as a table: its plan, its folder, and its results once there are votes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchbench.report.sections import OutcomeSection
from benchbench.reproduce import run, study
from benchbench.reproduce.plan import Plan, make_plan
from benchbench.reproduce.spec import Block, Row, load, track_of
from benchbench.runtime.backends.choice import BackendChoice
from benchbench.study.folder import read_study
from benchbench.study.panel import Panel, vote
from benchbench.study.vote_store import FILE, VoteStore
from tests.study.made import make_study


@pytest.mark.parametrize(("table", "track"), [(t, k) for t in ("tailorpo:fig8", "spo:fig5") for k in load(t).tracks])
def test_the_settings_are_the_papers(table: str, track: str) -> None:
    """Ten raters; five images of 45 prompts, or one of 300; one training a row, whatever seeds are named."""
    spec = load(table)
    settings = study.StudySettings.model_validate(spec.tracks[track].settings)
    assert settings.raters == 10 and len(settings.questions) == (1 if table == "tailorpo:fig8" else 3)
    assert set(settings.against) <= set(spec.rows)
    if table == "spo:fig5":
        assert sum(settings.drawn[block.prompts] for block in spec.tracks[track].blocks) == 300
    else:
        assert [block.images for block in spec.tracks[track].blocks] == [5]


def small_plan(store: Path) -> Plan:
    """The plan of a study of the base model with itself alone, which needs no training."""
    spec = load("spo:fig5")
    plan = make_plan(spec, "shapes", track_of(spec, "shapes"), store, seeds=(0, 1))
    assert plan.seeds == (0,)
    return replace(plan, rewards=(), track=plan.track.model_copy(update={"gold": None}))


def test_without_votes_it_says_how_to_gather_them_and_with_votes_it_has_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_study(tmp_path / "s", raters=2, count=4, images=1)
    monkeypatch.setattr(study, "_find_or_make", lambda *_: tmp_path / "s")
    block, said = Block(prompts="shapes-complex", images=1), list[str]()
    plan = small_plan(tmp_path)
    before = study.study_report(plan, block, tmp_path, said.append)
    assert before.tables == [] and f"bench study serve {tmp_path / 's'}" in said[0]
    store = VoteStore(tmp_path / "s" / FILE, made)
    vote(made, store, [1.0] * 4 + [0.0] * 4, Panel())
    store.close()
    after = study.study_report(plan, block, tmp_path, said.append)
    assert after.tables[0].name == "spo-fig5-shapes-complex-outcomes-1-kept"
    assert any(isinstance(section, OutcomeSection) for section in after.sections)


@pytest.mark.slow
def test_the_table_is_made_twice_with_votes_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row, the base model: every two images of three drawn prompts. Another request makes another study."""
    settings = {"questions": ["Q?"], "raters": 2, "drawn": {"shapes-simple": 3}}
    changes = {"settings": settings, "sampler": {"steps": 2}, "blocks": [Block(prompts="shapes-simple", images=2)]}
    spec = load("spo:fig5")
    track = spec.tracks["shapes"].model_copy(update={**changes, "rewards": {"jpeg_compressibility": "pickscore"}})
    small = spec.model_copy(update={"rows": {"base": Row()}, "tracks": {"shapes": track}})
    monkeypatch.setattr(run, "load", lambda _: small)
    said: list[str] = []
    first = run.reproduce("spo:fig5", store=tmp_path, where=BackendChoice(jobs=1), log=said.append)
    assert first is not None and "No votes yet on shapes-simple" in (first / "report.md").read_text()
    [folder] = (tmp_path / "studies").glob("spo-fig5-shapes-shapes-simple-*[!k]")
    frozen = (folder / "study.json").read_bytes()
    made = read_study(folder)
    store = VoteStore(folder / FILE, made)
    vote(made, store, [0.0] * len(made.pictures), Panel())
    store.close()
    second = run.reproduce("spo:fig5", store=tmp_path, where=BackendChoice(jobs=1), log=said.append)
    assert second is not None and "How far raters agree" in (second / "report.md").read_text()
    assert (second / "spo-fig5-shapes-simple-rewards-kept.csv").is_file()
    assert (folder / "study.json").read_bytes() == frozen
    more = track.model_copy(update={"settings": {**settings, "raters": 3}})
    monkeypatch.setattr(run, "load", lambda _: small.model_copy(update={"tracks": {"shapes": more}}))
    run.reproduce("spo:fig5", store=tmp_path, where=BackendChoice(jobs=1), log=said.append)
    assert len(list((tmp_path / "studies").glob("*/study.json"))) == 2

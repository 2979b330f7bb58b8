"""Paper tables as data, their plans, and the comparison with the paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchbench.errors import RunError, UsageError
from benchbench.report.table import Cell, Column, Table
from benchbench.reproduce import estimate, spec
from benchbench.reproduce.measurement_spec import measurement_spec
from benchbench.reproduce.order import compare_with_paper
from benchbench.reproduce.plan import Plan, make_plan
from benchbench.reproduce.plan_jobs import jobs_before_measuring, measurement_jobs, training_jobs, without_failed
from benchbench.reproduce.published_values import published_tables, with_published_words
from benchbench.reproduce.run import reproduce
from benchbench.runtime.backends.choice import BackendChoice
from benchbench.runtime.jobs import Failure
from tests.stats.test_multiple import trained
from tests.stats.test_paired import frame

SEEDS = (0, 1)


def table_2(store: Path, quick: bool = False, rows: list[str] | None = None, track: str = "shapes") -> Plan:
    found = spec.load("tailorpo:2")
    return make_plan(found, track, spec.track_of(found, track), store, rows=rows, seeds=SEEDS, quick=quick)


def test_published_values_are_the_paper_s() -> None:
    values = spec.load("tailorpo:2").values()
    assert values["base", "aesthetic"] == 5.79 and values["tailorpo-g", "aesthetic"] == 6.96
    assert values["tailorpo", "jpeg_compressibility"] == -6.71 and ("tailorpo-g", "jpeg_compressibility") not in values


@pytest.mark.slow
def test_the_whole_plan(tmp_path: Path) -> None:
    """4 methods x 5 rewards x 2 seeds less TailorPO-G on JPEG (2), and SPO's 2: 40; (6 x 5 - 1) rows x 2 sets: 58."""
    found = table_2(tmp_path)
    assert len(found.trainings) == 40 and len(found.measurements) == 58
    assert found.skipped == (
        "tailorpo-g on jpeg_compressibility: it follows the reward's gradient, and this reward has none",
    )
    assert len({t.out for t in found.trainings}) == 40
    assert {t.config.seed for t in found.trainings} == {0, 1} and estimate.seconds(found) > 0


def test_the_quick_plan_is_one_reward_and_one_seed(tmp_path: Path) -> None:
    found = table_2(tmp_path, quick=True)
    assert [t.row for t in found.trainings] == ["ddpo", "d3po", "tailorpo", "tailorpo-g"]
    assert {t.config.reward for t in found.trainings} == {"shapes-colour"} and found.seeds == (0,)


def test_chosen_rows_keep_the_base(tmp_path: Path) -> None:
    assert table_2(tmp_path, rows=["tailorpo"]).rows == ("base", "tailorpo")
    found = spec.load("tailorpo:2")
    track, wanted = spec.track_of(found, "shapes"), ["shapes-pref"]
    plan = make_plan(found, "shapes", track, tmp_path, rewards=wanted)
    assert plan.rewards == ("shapes-pref",) and {m.rewards for m in plan.measurements} == {("shapes-pref",)}
    with pytest.raises(UsageError, match="no column of tailorpo:2"):
        make_plan(found, "shapes", track, tmp_path, rewards=["shapes-perf"])
    with pytest.raises(UsageError, match="tailorpo"):
        table_2(tmp_path, rows=["tailrpo"])


def test_unknown_tables_and_tracks() -> None:
    with pytest.raises(UsageError, match="no table 'tailorpo:99'") as error:
        spec.load("tailorpo:99")
    assert "tailorpo:9" in error.value.cause
    with pytest.raises(UsageError, match="no track"):
        spec.track_of(spec.load("tailorpo:2"), "sd3")


def test_a_dry_run_prints_the_plan_and_makes_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    store = tmp_path / "store"
    assert (
        reproduce("tailorpo:2", store=store, quick=True, dry_run=True, where=BackendChoice(jobs=2), log=said.append)
        is None
    )
    assert str(store) in said[0] and "4 trainings (4 left)" in said[1] and "2 at a time" in said[1]
    assert sum(line.startswith("left: ") for line in said) == 4 and not store.exists()


def test_the_base_model_is_measured_while_the_rows_are_trained(tmp_path: Path) -> None:
    """Its two measurements come first, weighed in seconds as the trainings are; a table of another kind has none."""
    jobs = jobs_before_measuring(table_2(tmp_path, quick=True), tmp_path)
    assert [job.name.partition(" on ")[0] for job in jobs] == ["base", "base", "ddpo", "d3po", "tailorpo", "tailorpo-g"]
    simple, complicated, ddpo = (job.weight for job in jobs[:3])
    assert complicated / simple == pytest.approx(100 / 135) and 1 < ddpo / simple < 10
    table = spec.load("tailorpo:6")
    gaps = make_plan(table, "shapes", spec.track_of(table, "shapes"), tmp_path)
    assert [job.name.startswith("base") for job in jobs_before_measuring(gaps, tmp_path)] == [False] * len(
        gaps.trainings
    )


def test_the_precision_of_measurements_reaches_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "describe", lambda plan, jobs: [f"measured in {plan.dtype}"])
    said: list[str] = []
    reproduce("tailorpo:2", store=tmp_path, dry_run=True, dtype="bf16", log=said.append)
    assert "measured in bf16" in said


def rows(reward: str, /, **gains: float) -> tuple[Table, dict[str, pd.DataFrame]]:
    """A table, and rows behind it: one training on two prompts."""
    cells = {"base": {reward: Cell(value=7.0)}}
    cells |= {row.replace("_", "-"): {reward: Cell(value=7.0 + 3.5 * g, gain=g)} for row, g in gains.items()}
    made = Table(name="t", title="t", caption="", rows=tuple(cells), columns=(Column(key=reward),), cells=cells)
    return made, {row: frame([[found[reward].value]] * 2).assign(reward=reward) for row, found in cells.items()}


def test_on_shapes_only_order_and_gain_are_compared(tmp_path: Path) -> None:
    """Paper on aesthetic: G 6.96 > T 6.66 > DDPO 6.57 > D3PO 6.46 > base. With D3PO and DDPO swapped, 1 of 10 pairs is
    discordant: tau = (9 - 1)/10 = 0.8.
    """
    found = table_2(tmp_path, quick=True)
    gains = {"ddpo": 0.1, "d3po": 0.2, "tailorpo": 1.5, "tailorpo_g": 2.0}
    (line,) = compare_with_paper(found, found.blocks[0], *rows("shapes-colour", **gains))
    assert "ours tailorpo-g > tailorpo > d3po > ddpo > base" in line
    assert "the paper on aesthetic, sd15: tailorpo-g > tailorpo > ddpo > d3po > base" in line
    assert "another (Kendall's tau 0.80)" in line and "tailorpo +1.50 SD" in line
    assert "One training: describes this run" in line and "Told apart" not in line


def test_rows_that_are_level_have_no_order(tmp_path: Path) -> None:
    found = table_2(tmp_path, quick=True)
    (line,) = compare_with_paper(
        found, found.blocks[0], *rows("shapes-colour", ddpo=0.1, d3po=0.1, tailorpo=1.5, tailorpo_g=2.0)
    )
    assert "ours tailorpo-g > tailorpo > ddpo = d3po > base" in line


def test_from_five_trainings_on_rows_are_told_apart(tmp_path: Path) -> None:
    """Five trainings of each row on eight prompts, of which TailorPO is one point above DDPO and D3PO one hundredth."""
    found, reward = table_2(tmp_path, quick=True), "shapes-colour"
    rng = np.random.default_rng(0)
    lifts = {"ddpo": 0.0, "d3po": 0.01, "tailorpo": 1.0}
    frames = {
        row: trained([[[lift + 0.1 * rng.normal()] for _ in range(8)] for _ in range(5)]).assign(reward=reward)
        for row, lift in lifts.items()
    }
    cells = {row: {reward: Cell(value=float(scores.score.mean()))} for row, scores in frames.items()}
    made = Table(name="t", title="t", caption="", rows=tuple(cells), columns=(Column(key=reward),), cells=cells)
    (line,) = compare_with_paper(found, found.blocks[0], made, frames)
    assert "paired tests of each two rows (3, Holm's correction, 5%): tailorpo > ddpo, tailorpo > d3po." in line
    assert "Not told apart: " in line


def test_on_the_paper_s_own_model_the_difference_is_printed(tmp_path: Path) -> None:
    """7.00 - 5.79 = 1.21 for the base."""
    found = table_2(tmp_path, quick=True, track="sd15")
    (line,) = compare_with_paper(found, found.blocks[0], *rows("aesthetic", tailorpo=0.0))
    assert "base +1.21" in line and "tailorpo +0.34" in line


def test_the_published_table_is_shown_whole() -> None:
    (shown,) = published_tables(spec.load("tailorpo:2"))
    caveats = shown.caption.split("by order, not by value. ")[1].split("; ")
    assert len(caveats) == len(set(caveats)) > 1
    assert "spo" in shown.rows and len(shown.columns) == 5 and shown.get("spo", "jpeg_compressibility") is None


def test_what_failed_is_left_out_and_said(tmp_path: Path) -> None:
    """Three rows have two trainings each: one loses a training, one both, and one its evaluation on one prompt set:
    6 - 3 trainings and, with the base, 4 x 2 - 2 - 1 measurements remain.
    """
    found = spec.load("tailorpo:2")
    track = found.tracks["shapes"].model_copy(update={"rewards": {"shapes-colour": "aesthetic"}})
    plan = make_plan(found, "shapes", track, tmp_path, rows=["ddpo", "d3po", "tailorpo"], seeds=SEEDS)
    jobs = training_jobs(plan, tmp_path)
    lost = [job for job in jobs if job.name.startswith("d3po") or job.name == "ddpo on shapes-colour, seed 1"]
    left = without_failed(plan, [Failure(job, RunError(f"{job.name} failed", "NaN", "x")) for job in lost], tmp_path)
    assert len(left.trainings) == 3 and len(left.measurements) == 6
    assert {(m.row, len(m.runs)) for m in left.measurements} == {("base", 0), ("ddpo", 1), ("tailorpo", 2)}
    assert "ddpo on shapes-colour, seed 1 failed: NaN" in left.skipped and len(left.skipped) == 3

    (job,) = (
        job for job in measurement_jobs(left, tmp_path) if job.name == "tailorpo on shapes-complex (shapes-colour)"
    )
    rest = without_failed(left, [Failure(job, RunError("it failed", "disk", "x"))], tmp_path)
    assert [(m.row, m.prompts) for m in left.measurements if m not in rest.measurements] == [
        ("tailorpo", "shapes-complex")
    ]
    assert rest.skipped[-1] == "it failed: disk"


def test_published_values_are_in_our_units(tmp_path: Path) -> None:
    """DSPO's Table 3 prints 4.18 minutes a step, 250.8 s; its Table 1 prints shares in %. On another machine's model a
    time is left away.
    """
    cost, rates = (spec.load(name) for name in ("dspo:3", "dspo:1"))
    there = make_plan(cost, "sd15", cost.tracks["sd15"], tmp_path)
    assert there.published(there.blocks[0])["dspo", "s / step"] == pytest.approx(250.8)
    here = make_plan(cost, "shapes", cost.tracks["shapes"], tmp_path)
    assert here.published(here.blocks[0]) == {}
    settings = measurement_spec(there, there.measurements[0], {}, ["pickscore"]).settings
    assert settings["pairs"] == "pickapic_v2" and settings["method"] == "diffusion-dpo"
    shown = Plan(rates, "shapes", rates.tracks["shapes"], (), (), (), False)
    values = shown.published(shown.blocks[0])
    assert values["dspo", "pickscore"] == rates.values(shown.blocks[0].published)["dspo", "pickscore"] / 100 < 1


def test_edits_take_their_share_of_the_steps(tmp_path: Path) -> None:
    """DSPO's Table 4: the trainings of Table 1, 100 pictures x 5 edits for each row, of 15 of 20 steps."""
    edits, images = (spec.load(name) for name in ("dspo:4", "dspo:1"))
    plan = make_plan(edits, "shapes", edits.tracks["shapes"], tmp_path)
    assert {t.out for t in plan.trainings} == {
        t.out for t in make_plan(images, "shapes", images.tracks["shapes"], tmp_path).trainings
    }
    assert estimate.unet_evaluations(plan)[1] == 5 * 100 * 5 * 15
    made = measurement_spec(plan, plan.measurements[0], {}, ["shapes-pref"])
    assert made.sampler == {"steps": 20, "eta": 1.0, "guidance_scale": 5.0, "strength": 0.75}
    assert plan.published(plan.blocks[0])["dspo", "aesthetic"] == pytest.approx(0.738)
    there = make_plan(edits, "sd15", edits.tracks["sd15"], tmp_path)
    assert estimate.unet_evaluations(there)[1] == 5 * 1000 * 5 * 37


def test_a_published_value_of_another_reward_or_model_says_so() -> None:
    """Under ours stands the word that tells them apart; on the paper's own model there is nothing to tell."""
    cell = Cell(value=5.72, published=5.79)
    table = Table(name="t", title="T", caption="", rows=("a",), columns=(Column(key="r"),), cells={"a": {"r": cell}})
    assert "published 5.79 (aesthetic, sd15) |" in with_published_words(table, {"r": "aesthetic, sd15"}).markdown()
    assert "published 5.79 |" in with_published_words(table, {}).markdown()


@pytest.mark.parametrize(
    ("paper", "directions"), [("tailorpo:2", {"higher"}), ("dspo:3", {"lower"}), ("tailorpo:1", {""})]
)
def test_published_tables_say_which_values_are_better(paper: str, directions: set[str]) -> None:
    tables = published_tables(spec.load(paper))
    assert {column.better for table in tables for column in table.columns} == directions

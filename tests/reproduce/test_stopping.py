"""Stopping in time: what is planned first, what validation chooses, and what is measured of that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from benchbench.errors import UsageError
from benchbench.evaluate.generate import Generation
from benchbench.noise import Sample
from benchbench.report.grids import decode_uri
from benchbench.reproduce import stopping, sweep
from benchbench.reproduce.frontier_figure import frontier_figure
from benchbench.reproduce.plan import Plan, Stopped, make_plan
from benchbench.reproduce.plan_jobs import measurement_jobs
from benchbench.reproduce.stopped_grid import stopped_grids
from benchbench.stats.frontier import LOSSES
from benchbench.stats.paired import difference
from benchbench.store.image_index import CheckedImage
from benchbench.types import PromptSet
from tests.stats.test_paired import frame

COLOUR, ORACLE, VALIDATION = "shapes-colour", "shapes-oracle", "shapes-complex.validation"
SWEEP = f"""
model: shapes
methods: [d3po]
rewards: [{COLOUR}]
seeds: [0, 1]
samples: 64
prompts: {{shapes-simple: 2}}
stop: {VALIDATION}
"""


def planned(folder: Path, text: str = SWEEP) -> Plan:
    file = folder / "s.yaml"
    file.write_text(text, encoding="utf-8")
    found = sweep.load(file)
    return make_plan(found.spec, "shapes", found.track, folder / "store", seeds=found.seeds)


def scores(colour: dict[int, float], oracle: dict[int, float]) -> pd.DataFrame:
    """Returns scores of one prompt's two images by training seed."""
    parts = [
        frame([[value, value]], seed).assign(reward=reward, unit=unit)
        for by_seed, reward, unit in ((colour, COLOUR, "u"), (oracle, ORACLE, "fraction"))
        for seed, value in by_seed.items()
    ]
    return pd.concat(parts, ignore_index=True)


BASE = scores({0: 10.0}, {0: 0.9})


def test_the_checkpoints_are_validated_before_anything_is_measured(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    assert [t.config.train.keep_every for t in plan.trainings] == [8, 8]
    assert all("train.keep_every=8" in t.overrides for t in plan.trainings)
    places = [(m.row, m.prompts, m.images_per_prompt) for m in plan.measurements if not m.of]
    assert places == [("base", "shapes-simple", 2), ("base", VALIDATION, 2)]
    kept = [m for m in plan.measurements if m.of]
    assert {(m.of, m.prompts, m.rewards) for m in kept} == {("d3po", VALIDATION, (COLOUR, ORACLE))}
    assert kept[-1].checkpoint == 64 and kept[-1].row == "d3po, 64 images"
    assert kept[0].runs == tuple(str(t.out / "kept" / f"{kept[0].checkpoint:08d}") for t in plan.trainings)
    assert len(measurement_jobs(plan, tmp_path)) == 3, "all checkpoints of a row are one job"


def chosen(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Returns the plan after a validation in which seed 0 gains slowly and safely, and seed 1 fast, at a loss of .1."""
    first, last = (m for m in plan.measurements if m.of and m.checkpoint in (16, 64))
    found = {m.row: scores({0: 10.0, 1: 10.0}, {0: 0.0, 1: 0.0}) for m in plan.measurements if m.of} | {
        "base": BASE,
        first.row: scores({0: 11.0, 1: 13.0}, {0: 0.9, 1: 0.8}),
        last.row: scores({0: 12.0, 1: 15.0}, {0: 0.89, 1: 0.2}),
    }
    monkeypatch.setattr(stopping, "measured", lambda *_: SimpleNamespace(frames=found))
    return stopping.after_validation(plan, tmp_path, lambda line: None)


def test_each_training_is_stopped_by_its_own_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seed 0: 16 images lose nothing, 64 lose .01. Seed 1: 16 lose .1, and 64 too much; below .1 it is the base."""
    plan = chosen(planned(tmp_path), tmp_path, monkeypatch)
    assert plan.stops == {
        Stopped("d3po", "shapes-colour", 0): (16, *[64] * 10, 64),
        Stopped("d3po", "shapes-colour", 1): (*[0] * 5, *[16] * 6, 0),
    }
    test = [m for m in plan.measurements if m.of and m.prompts == "shapes-simple"]
    outs = {t.config.seed: t.out for t in plan.trainings}
    assert [(m.checkpoint, m.runs) for m in test] == [
        (16, tuple(str(outs[seed] / "kept" / "00000016") for seed in (0, 1))),
        (64, (str(outs[0] / "kept" / "00000064"),)),
    ]
    assert {m.rewards for m in test} == {(COLOUR,)} and {m.job for m in test} == {"d3po, stopped"}


def test_the_frames_are_means_over_the_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Test gains: seed 0 has 2 at 16 images and 3 at 64: (2 + 10 * 3) / 11; seed 1 has 4 at 16: 6 * 4 / 11."""
    plan = chosen(planned(tmp_path), tmp_path, monkeypatch)
    frames = {
        "base": BASE,
        "d3po, 16 images": scores({0: 12.0, 1: 14.0}, {0: 0.9, 1: 0.9}),
        "d3po, 64 images": scores({0: 13.0}, {0: 0.5}),
    }
    found = stopping.stopped_frames(plan, "shapes-colour", frames)
    assert set(found) == {"base", "d3po"}
    gain = difference(found["d3po"][found["d3po"].reward == COLOUR], BASE[BASE.reward == COLOUR])
    assert gain.cells.means[:, 0] == pytest.approx([32 / 11, 24 / 11])
    once = stopping.stopped_frames(plan, "shapes-colour", frames, [stopping.BEARABLE])["d3po"]
    assert once[once.reward == COLOUR].groupby("train_seed").score.mean().tolist() == [13, 10]
    assert once[once.reward == ORACLE].groupby("train_seed").score.mean().tolist() == [0.5, 0.9]
    assert plan.spec.stop is not None
    assert "the mean over losses of 0 to 0.2." in stopping.in_words(plan.spec.stop, LOSSES)
    assert stopping.in_words(plan.spec.stop, [stopping.BEARABLE]).endswith("The loss is 0.05.")


def test_the_figure_has_the_gain_at_each_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand, in deviations of the base's images, 2: seed 0 gains 2 and then 3, seed 1 nothing and then 4."""
    plan = chosen(planned(tmp_path), tmp_path, monkeypatch)
    varied = pd.concat([frame([[8.0, 12.0]], 0).assign(reward=COLOUR, unit="u"), BASE[BASE.reward == ORACLE]])
    deviation = 8**0.5  # of 8 and 12
    frames = {
        "base": varied,
        "d3po, 16 images": scores({0: 12.0, 1: 14.0}, {0: 0.9, 1: 0.9}),
        "d3po, 64 images": scores({0: 13.0}, {0: 0.5}),
    }
    best = scores({0: 15.0}, {0: 0.9})
    figure = frontier_figure(plan, COLOUR, frames, {"best-of-4": best})
    assert figure is not None
    trained, chosen_one = figure.panels[0].lines
    assert (trained.label, chosen_one.label) == ("d3po", "best-of-4") and trained.x == LOSSES
    raw = [1.0, *[1.5] * 4, *[3.5] * 6]  # means of 2 and 0, of 3 and 0, of 3 and 4
    assert trained.y == pytest.approx([gain / deviation for gain in raw])
    assert chosen_one.y == pytest.approx([5 / deviation] * 11)
    assert frontier_figure(plan, COLOUR, frames | {"base": BASE}, {}) is None, "the base does not vary"


def pictures(label: str, colour: tuple[int, int, int]) -> Generation:
    """Returns one picture of one colour, as of an evaluation with one prompt."""
    images: Any = SimpleNamespace(read=lambda _sample: Image.new("RGB", (8, 8), colour))
    prompts, entry = PromptSet("p", ("a red circle",), "", ""), CheckedImage("0" * 64, "")
    return Generation(label, 0, images, prompts, {Sample("a red circle", 0): entry})


def test_the_pictures_are_of_the_checkpoint_that_each_loss_chose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seed 0 has seen 64 images at both losses; seed 1 none at a loss of .05, and 16 at a loss of .2."""
    plan = chosen(planned(tmp_path), tmp_path, monkeypatch)
    white, red, green, blue = (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255)
    measured: Any = SimpleNamespace(
        frames={"d3po, 16 images": scores({0: 1, 1: 1}, {}), "d3po, 64 images": scores({0: 1}, {})},
        generations={
            "base": [pictures("base", white)],
            "d3po, 16 images": [pictures("d3po, 16 images, seed 0", red), pictures("d3po, 16 images, seed 1", green)],
            "d3po, 64 images": [pictures("d3po, 64 images", blue)],
        },
    )

    def shown(of: Plan) -> list[list[tuple[str, object]]]:
        grids = stopped_grids(of, COLOUR, measured)
        titles = [f"Samples at a loss of at most {loss}, trained on {COLOUR}" for loss in ("0.05", "0.2")]
        assert [grid.title for grid in grids] == titles
        return [[(row.label, decode_uri(row.images[0]).getpixel((0, 0))) for row in grid.rows] for grid in grids]

    assert shown(plan) == [[("base", white), ("d3po, 64 images", blue)]] * 2
    second = replace(plan, stops={stop: kept for stop, kept in plan.stops.items() if stop.seed == 1})
    assert shown(second) == [
        [("base", white), ("d3po, untrained", white)],
        [("base", white), ("d3po, 16 images", green)],
    ]
    assert stopped_grids(second, COLOUR, measured)[1].caption.startswith(
        "One training of each row (seed 1), stopped where shapes-oracle has fallen by at most 0.2 on the validation"
    )


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        ("stop: shapes-simple\n", "checkpoints are chosen on neither training nor test prompts"),
        ("stop: shapes-complex.test\n", "checkpoints are chosen on neither training nor test prompts"),
        (f"stop: {VALIDATION}\nguard: {COLOUR}\n", "no training is judged by"),
        (f"guard: {ORACLE}\n", "it guards nothing"),
        ("stop: nowhere\n", "nowhere"),
    ],
)
def test_a_wrong_stop_is_refused(tmp_path: Path, lines: str, cause: str) -> None:
    with pytest.raises(UsageError) as error:
        planned(tmp_path, SWEEP.replace(f"stop: {VALIDATION}\n", lines))
    assert cause in error.value.cause

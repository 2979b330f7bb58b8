"""Curves of seeds become a mean and a band; grids show the same prompts in every row."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from benchbench.report import curves, grids
from benchbench.report.plots import GREY, Stroke, compact, draw_panel, strokes
from benchbench.report.sections import Curve, Panel
from benchbench.runtime.sealed import write_sealed
from benchbench.store.runs import Run
from tests.evaluate.fakes import Generator
from tests.evaluate.test_generate import run
from tests.report.pages import PAGE


def test_a_band_by_hand() -> None:
    """Seeds (0,0)(2,2) and (0,2)(1,3)(3,5): shared x 0..2; at 1 the first is 1, at 2 the second is 4."""
    one = pd.DataFrame({"x": [0, 2], "y": [0.0, 2.0]})
    two = pd.DataFrame({"x": [0, 1, 3], "y": [2.0, 3.0, 5.0]})
    line = curves.mean_curve("m", [one, two], "x", "y")
    assert (line.x, line.y) == ((0, 1, 2), (1, 2, 3))
    assert (line.low, line.high) == ((0, 1, 2), (2, 3, 4))


def test_one_seed_has_no_band_and_long_curves_are_thinned() -> None:
    x = np.arange(1000.0)
    line = curves.mean_curve("m", [pd.DataFrame({"x": x, "y": x})], "x", "y")
    assert line.low is None and len(line.x) == curves.MAX_POINTS and (line.x[0], line.x[-1]) == (0, 999)


def test_rows_without_an_evaluation_are_passed_over(tmp_path: Path) -> None:
    rows: list[dict[str, float]] = [
        {"samples": 0, "eval.reward": 1, "eval.oracle": 0.5, "reward_calls": 0, "nfe": 0, "seconds": 0},
        {"samples": 2, "reward": 9, "reward_calls": 2, "nfe": 40, "seconds": 1},
        {"samples": 4, "eval.reward": 2, "eval.oracle": 0.4, "reward_calls": 4, "nfe": 80, "seconds": 2},
    ]
    rows = [{**row, "eval_forwards": 9} for row in rows]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"samples": 5, "ev')
    config = {"config": {"method": "ddpo", "reward": "colour", "seed": 0}}
    sections = curves.from_runs([Run("r", tmp_path, "complete", config, {})])
    assert [section.title for section in sections] == ["Training on colour", "Reward and oracle"]
    training, hacking = sections
    assert training.kind == hacking.kind == "curves"
    assert [panel.lines[0].x for panel in training.panels] == [(0, 4), (0, 4), (0, 80), (0, 2)]
    assert [panel.lines[0].y for panel in hacking.panels] == [(1, 2), (0.5, 0.4)]
    write_sealed(tmp_path / "base_scores.json", {"scores": [0.0, 2.0, 4.0, 6.0]})
    checkpoints = [Run("r", tmp_path, "complete", config, {})] * 3  # of one training, which has no band
    training, hacking = curves.from_runs(checkpoints)
    assert training.kind == hacking.kind == "curves"
    assert "at least one standard deviation of the untrained model's images" in training.caption
    assert training.panels[0].lines[0].low is None and "seeds" not in training.caption
    assert [panel.least_span for panel in hacking.panels] == [pytest.approx(20**0.5 / 3**0.5), 0.5]


@pytest.mark.parametrize(("least", "low", "high"), [(None, 1.0, 1.01), (0.005, 1.0, 1.01), (4.0, -0.995, 3.005)])
def test_a_small_change_does_not_fill_the_axis(least: float | None, low: float, high: float) -> None:
    panel = Panel(x_label="x", y_label="y", lines=(Curve(label="a", x=(0, 1), y=(1.0, 1.01)),), least_span=least)
    axes = Figure().subplots()
    draw_panel(axes, panel, strokes([panel]))
    assert axes.get_ylim() == pytest.approx((low, high), abs=0.001)


def test_a_run_whose_gradients_counted_as_three_is_not_shown_against_evaluations(tmp_path: Path) -> None:
    """Rows of a version that did not count fixed evaluations: their ``nfe`` is another quantity."""
    rows = [{"samples": s, "eval.reward": s, "reward_calls": s, "nfe": 40 * s, "seconds": s} for s in (0, 2)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    [training] = curves.from_runs([Run("r", tmp_path, "complete", {}, {})])
    assert training.kind == "curves"
    assert [panel.x_label for panel in training.panels] == [
        "images trained on",
        "reward calls",
        "seconds of training",
    ]


def test_equal_costs_by_hand() -> None:
    """The second method stops at 4 samples and 8 calls, the first at 2 calls: compared at 4 samples and 2 calls.

    At 2 calls the second stands a quarter of the way from 0 to 4: 1. Its two seeds at 4 samples, 4 and 6, have mean 5
    and a standard error of 1: 5 plus and minus t(1) = 12.706.
    """
    x = {"nfe": [0, 1], "seconds": [0, 1]}
    one = pd.DataFrame({"samples": [0, 8], "reward_calls": [0, 2], "eval.reward": [0.0, 8.0], **x})
    two = pd.DataFrame({"samples": [0, 4], "reward_calls": [0, 8], "eval.reward": [0.0, 4.0], **x})
    up = two.assign(**{"eval.reward": [2.0, 6.0]})
    found = curves.equal_cost_table({"a": [one], "b": [two, up]}, "r")
    assert found is not None
    [table] = found.tables
    assert [c.key for c in table.columns][:2] == ["4 images trained on", "2 reward calls"]
    a, b = table.cells["a"], table.cells["b"]
    assert (a["4 images trained on"].value, a["2 reward calls"].value) == (4, 8)
    assert b["2 reward calls"].value == (1 + 3) / 2 and a["2 reward calls"].low is None
    at = b["4 images trained on"]
    assert (at.value, at.seeds) == (5, 2) and at.low == pytest.approx(5 - 12.7062, abs=1e-3)
    assert curves.equal_cost_table({"a": [one]}, "r") is None


def test_a_run_that_logged_nothing_has_no_curve(tmp_path: Path) -> None:
    assert curves.from_runs([Run("r", tmp_path, "complete", {}, {})]) == []


def test_one_label_has_one_colour_and_the_base_is_grey() -> None:
    panels = [Panel(x_label="", y_label="", lines=tuple(Curve(label=n, x=(0,), y=(0,)) for n in names)) for names in
              (("base", "a"), ("b", "a"))]  # fmt: skip
    chosen = strokes(panels)
    assert chosen["base"] == Stroke(GREY) and len(set(chosen.values())) == 3


def test_axis_labels_stay_short() -> None:
    assert [compact(x) for x in (0, 0.5, 1500, 20_000, 3e6)] == ["0", "0.5", "1.5k", "20k", "3M"]


def test_a_grid_shows_the_same_prompts_in_every_row(tmp_path: Path) -> None:
    made = run(Generator(), tmp_path)
    shown = grids.sample_grid([made[0], made[0]])
    assert shown.prompts == ("a cat", "a dog", "a cat") and len(shown.rows) == 2
    assert shown.rows[0].images == shown.rows[1].images and "seed 0" in shown.caption
    assert "has 6 more images" in shown.caption  # 2 rows of 3 prompts and 2 samples, 6 shown


def test_a_page_stays_small_whatever_was_evaluated(tmp_path: Path) -> None:
    """Fifty rows of 300 prompts: 16 of six are shown, and 50 * 300 - 96 = 14,904 images are said to be left out."""
    [made] = run(Generator(), tmp_path)
    item = next(iter(made.entries))
    many = {item._replace(index=i): made.entries[item] for i in range(300)}

    class Same:
        def read(self, _: object) -> Image.Image:
            return Image.new("RGB", (8, 8))

    shown = grids.sample_grid([dataclasses.replace(made, entries=many, images=Same())] * 50)  # type: ignore[arg-type]
    assert (len(shown.rows), len(shown.prompts)) == (16, 6)
    assert "14,904 more images" in shown.caption and "34 rows are left out" in shown.caption


def test_a_sheet_keeps_small_pixels_sharp() -> None:
    grid = next(section for section in PAGE.sections if section.kind == "grid")
    picture = grids.contact_sheet(grid)
    reds = np.asarray(picture)[..., 0] * (np.asarray(picture)[..., 1] < 5) > 250
    assert reds.sum() == 2 * grids.CELL**2


def test_large_images_are_reduced() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    assert len(grids.data_uri(Image.fromarray(noise))) < 120_000

"""Figures for a paper: curves and bars are vectors, fonts are embedded, and colours differ for the colour-blind."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest

from benchbench.report.paper_figures import paper_figures
from benchbench.report.plots import DASHES, PALETTE
from tests.report.pages import EVIL, PAGE

# How people without red (first) and without green cones see linear RGB: Machado, Oliveira, Fernandes (2009).
BLIND = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
}


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    sections = [section for section in PAGE.sections if section.kind != "pairs"]
    return dict(paper_figures(PAGE.model_copy(update={"quick": True, "sections": (*sections, *PAGE.sections[5:7])})))


def test_every_figure_has_a_name_of_its_own_in_both_formats(files: dict[str, bytes]) -> None:
    stems = ["training", "over-steps", "win-rate", "samples", "samples-2", "differ"]
    assert set(files) == {f"{stem}-QUICK.{kind}" for stem in stems for kind in ("pdf", "svg")}


@pytest.mark.parametrize("stem", ["training", "over-steps", "win-rate"])
def test_a_plot_is_drawn_and_not_painted(files: dict[str, bytes], stem: str) -> None:
    pdf, svg = (files[f"{stem}-QUICK.{kind}"] for kind in ("pdf", "svg"))
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf and b"/Subtype /Image" not in pdf
    text = svg.decode()
    assert "<image" not in text and "<text" not in text and "<path" in text  # letters are outlines: no font is missing
    assert EVIL not in text and "<script" not in text
    [box] = re.findall(rb"/MediaBox \[([^\]]*)\]", pdf)
    assert float(box.split()[2]) * 72.27 / 72 == pytest.approx(345 if stem == "over-steps" else 469, abs=0.01)


def test_pictures_stay_sharp(files: dict[str, bytes]) -> None:
    pdf = files["samples-QUICK.pdf"]
    assert b"/Subtype /Image /Width 300" in pdf and b"/FontFile2" in pdf  # an inch; every pixel is a whole square


def test_the_same_page_gives_the_same_files(files: dict[str, bytes]) -> None:
    again = dict(paper_figures(PAGE.model_copy(update={"quick": True, "sections": PAGE.sections[2:3]})))
    assert again == {name: files[name] for name in again} and len(again) == 2


def linear(colour: str) -> np.ndarray:
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    found: np.ndarray = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return found


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ np.clip(rgb, 0, 1)
    x, y, z = np.cbrt(xyz / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("seen_by", list(BLIND))
def test_the_first_four_colours_differ_for_the_colour_blind(seen_by: str) -> None:
    """By more than 20 in CIE Lab, where 2 can be told apart side by side; later ones differ by their dashes, too."""
    seen = [lab(np.array(BLIND[seen_by]) @ linear(colour)) for colour in PALETTE[:4]]
    assert min(np.linalg.norm(one - other) for one, other in combinations(seen, 2)) > 20
    assert len({(PALETTE[i % len(PALETTE)], DASHES[i % len(DASHES)]) for i in range(12)}) == 12

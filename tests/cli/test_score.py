"""``bench score``: any images, a prompt each, CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchbench.reward_models._jpeg import kilobytes
from tests.cli.conftest import Bench


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Writes five pictures in five modes and three formats, and a file that is no picture."""
    out = tmp_path / "images"
    out.mkdir()
    rng = np.random.default_rng(0)
    for i, (mode, suffix) in enumerate([("RGB", "png"), ("L", "jpg"), ("RGBA", "png"), ("P", "png"), ("RGB", "webp")]):
        pixels = rng.integers(0, 256, (24, 32 + i, 3), dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(out / f"{i}.{suffix}")
    (out / "notes.txt").write_text("not an image")
    (tmp_path / "p.txt").write_text("\n".join(f"prompt {i}, with a comma" for i in range(5)))
    return out


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_with_units_and_versions(bench: Bench, folder: Path, tmp_path: Path) -> None:
    """There is a row for each image and reward, in the order of names, with the score of the file as it is."""
    words = ["score", "--images", folder, "--prompts", tmp_path / "p.txt"]
    ran = bench(*words, "--rewards", "jpeg_incompressibility,shapes-colour", "--device", "cpu")
    assert ran.code == 0, ran.err
    found = rows(ran.out)
    assert len(found) == 10
    assert [row["image"] for row in found[:5]] == ["0.png", "1.jpg", "2.png", "3.png", "4.webp"]
    assert found[3]["prompt"] == "prompt 3, with a comma"
    assert (found[0]["reward"], found[0]["version"], found[0]["unit"]) == ("jpeg_incompressibility", "q95", "kB")
    for row in found[:5]:
        assert float(row["score"]) == pytest.approx(kilobytes(Image.open(folder / row["image"])), rel=1e-6)
    assert found[7]["unit"] == "colourfulness / 10"
    again = bench(*words, "--rewards", "jpeg_incompressibility,shapes-colour", "--out", tmp_path / "s.csv")
    assert again.code == 0 and again.out == ""
    assert (tmp_path / "s.csv").read_text() == ran.out


def test_an_ensemble_is_normalised_on_the_images_given(bench: Bench, folder: Path, tmp_path: Path) -> None:
    """A mix's score is z of the one reward plus half of z of the other, of mean 0. The statistics are printed."""
    words = ["score", "--images", folder, "--prompts", tmp_path / "p.txt", "--rewards"]
    ran = bench(*words, "shapes-colour=0.5,jpeg_incompressibility=1,jpeg_compressibility")
    assert ran.code == 0, ran.err
    found = rows(ran.out)
    assert [row["reward"] for row in found[::5]] == [
        "jpeg_incompressibility=1,shapes-colour=0.5",
        "jpeg_compressibility",
    ]
    assert "shapes-colour is normalised by mean" in ran.err
    plain = rows(bench(*words, "jpeg_incompressibility,shapes-colour").out)
    jpeg, colour = (np.array([float(row["score"]) for row in part]) for part in (plain[:5], plain[5:]))
    expected = (jpeg - jpeg.mean()) / jpeg.std() + 0.5 * (colour - colour.mean()) / colour.std()
    assert np.array([float(row["score"]) for row in found[:5]]) == pytest.approx(expected, abs=1e-4)


def test_what_cannot_be_scored_is_said_before_anything_is_loaded(bench: Bench, folder: Path, tmp_path: Path) -> None:
    """Refuses counts that differ, a folder without images, an unknown reward, and weights that are not here."""
    words = ["score", "--images", folder, "--prompts"]
    (tmp_path / "two.txt").write_text("a\nb\n")
    ran = bench(*words, tmp_path / "two.txt", "--rewards", "jpeg_compressibility")
    assert ran.code == 2 and "5 images and 2 prompts" in ran.err
    ran = bench("score", "--images", tmp_path / "no", "--prompts", tmp_path / "p.txt", "--rewards", "jpg,hpsv2")
    assert ran.code == 2
    for said in ("no such folder", "'jpg'", "hpsv2.0 or hpsv2.1"):
        assert said in ran.err
    ran = bench(*words, tmp_path / "p.txt", "--rewards", "shapes-colour=1,shapes-colour=2")
    assert ran.code == 2 and "named twice" in ran.err


def test_a_broken_image_is_named(bench: Bench, folder: Path, tmp_path: Path) -> None:
    (folder / "1.jpg").write_bytes(b"no jpeg")
    ran = bench("score", "--images", folder, "--prompts", tmp_path / "p.txt", "--rewards", "jpeg_compressibility")
    assert ran.code == 4 and "1.jpg" in ran.err

"""``bench score``: any images, a prompt each, CSV."""

from __future__ import annotations

import csv
import io
import json
import os
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
    over = bench(*words, "--rewards", "shapes-colour", "--out", tmp_path / "s.csv")
    assert over.code == 2 and "would be written over" in over.err and (tmp_path / "s.csv").read_text() == ran.out


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
    assert ran.code == 4 and "1.jpg" in ran.err and len(ran.err.splitlines()) == 4


PALETTE = {"red": (220, 40, 40), "green": (40, 160, 60), "blue": (40, 80, 220)}


def write_colours(folder: Path, names: dict[str, str]) -> Path:
    """Pictures of one colour by file name."""
    folder.mkdir(exist_ok=True)
    for name, colour in names.items():
        Image.new("RGB", (8, 8), PALETTE[colour]).save(folder / name)
    return folder


def test_pictures_are_taken_in_natural_order(bench: Bench, tmp_path: Path) -> None:
    """0, 1, ..., 11, as a script numbers them, and never 0, 1, 10, 11, 2."""
    folder = write_colours(tmp_path / "i", {f"{n}.png": "red" for n in range(12)})
    (tmp_path / "p.txt").write_text("".join(f"prompt {n}\n" for n in range(12)))
    ran = bench("score", "--images", folder, "--prompts", tmp_path / "p.txt", "--rewards", "shapes-colour")
    found = [(row["image"], row["prompt"]) for row in rows(ran.out)]
    assert found == [(f"{n}.png", f"prompt {n}") for n in range(12)]


def test_hidden_files_never_count_and_what_is_left_out_is_named(bench: Bench, tmp_path: Path) -> None:
    """AppleDouble files, .DS_Store and Thumbs.db are silent; a GIF counts; a HEIC file, a broken link, a PNG without
    ending and a folder with a picture are named.
    """
    folder = write_colours(tmp_path / "i", {"0.png": "red", "1.gif": "green", "2.png": "blue"})
    write_colours(folder / "more", {"3.png": "red"})
    for name in ("._0.png", ".DS_Store", "Thumbs.db", "notes.txt", "4.heic"):
        (folder / name).write_bytes(b"\0\5\x16\7" * 9)
    (folder / "0.png").rename(folder / "0.PNG")
    (folder / "5.png").symlink_to(tmp_path / "nothing.png")
    os.mkfifo(folder / "pipe")
    (folder / "extra").write_bytes((folder / "2.png").read_bytes())
    (tmp_path / "p.txt").write_text("a\nb\nc\n")
    ran = bench("score", "--images", folder, "--prompts", tmp_path / "p.txt", "--rewards", "shapes-colour")
    assert ran.code == 0, ran.err
    assert [row["image"] for row in rows(ran.out)] == ["0.PNG", "1.gif", "2.png"]
    said = [line for line in ran.err.splitlines() if line.startswith("left out")]
    assert [line.rpartition(": ")[2] for line in said] == ["4.heic, 5.png, extra", "more/"]
    for path in folder.glob("*.*"):
        path.unlink()
    none = bench("score", "--images", folder, "--prompts", tmp_path / "p.txt", "--rewards", "shapes-colour")
    assert none.code == 3 and "not read: extra, more/" in none.err


def test_prompts_may_name_their_picture(bench: Bench, tmp_path: Path) -> None:
    """Rows come in any order, with a path before the name, as CSV and JSONL; an accent may be two characters."""
    folder = write_colours(tmp_path / "i", {"b.png": "green", "a.png": "red", "caf\u0065\u0301.png": "blue"})
    csv_file, jsonl = tmp_path / "p.csv", tmp_path / "p.jsonl"
    csv_file.write_text('prompt,image\n"second, b",out/b.png\nfirst,a.png\nthird,caf\u00e9.png\n', encoding="utf-8")
    named = [("second, b", "b.png"), ("first", "./a.png"), ("third", "x\\caf\u00e9.png")]
    jsonl.write_text("".join(json.dumps({"caption": p, "file_name": n}) + "\n" for p, n in named))
    for file in (csv_file, jsonl):
        ran = bench("score", "--images", folder, "--prompts", file, "--rewards", "shapes-colour")
        assert ran.code == 0, ran.err
        found = [(row["image"][0], row["prompt"]) for row in rows(ran.out)]
        assert found == [("a", "first"), ("b", "second, b"), ("c", "third")]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["a.png,x", "z.png,y", "y.png,y"], ["without a prompt: b.png, c.png", "without an image: z.png, y.png"]),
        (["a.png,x", "b.png,y", "c.png,y", "a.png,z"], ["line 5 names 'a.png', as a line before"]),
        (["a.png,x", ",y"], ["line 3 names no file"]),
    ],
)
def test_every_picture_and_prompt_without_a_partner_is_named(
    bench: Bench, tmp_path: Path, lines: list[str], said: list[str]
) -> None:
    folder = write_colours(tmp_path / "i", dict.fromkeys(("a.png", "b.png", "c.png"), "red"))
    (tmp_path / "p.csv").write_text("\n".join(["image,prompt", *lines]) + "\n")
    ran = bench("score", "--images", folder, "--prompts", tmp_path / "p.csv", "--rewards", "shapes-colour")
    assert ran.code == 2
    for words in said:
        assert words in ran.err


def test_rewards_that_read_no_prompt_need_none(bench: Bench, folder: Path) -> None:
    """Their scores are the same with prompts; others name themselves; a mix needs prompts where a member does."""
    free = "shapes-colour,shapes-aesthetic,jpeg_compressibility,shapes-colour=1"
    words = ["score", "--images", folder, "--rewards"]
    bare, full = bench(*words, free), bench(*words, free, "--prompts", folder.parent / "p.txt")
    assert bare.code == full.code == 0, bare.err
    assert [row["score"] for row in rows(bare.out)] == [row["score"] for row in rows(full.out)]
    assert {row["prompt"] for row in rows(bare.out)} == {""}
    for names in ("shapes-colour,shapes-clip", "shapes-clip=1,shapes-colour=1"):
        ran = bench(*words, names)
        assert ran.code == 2 and "depend on prompts" in ran.err and "shapes-clip" in ran.err


def test_what_was_done_to_pictures_is_said_once(bench: Bench, tmp_path: Path) -> None:
    """Two rewards read every picture; each change is said in one line at the end."""
    folder = write_colours(tmp_path / "i", {"0.png": "red"})
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (8, 4)).save(folder / "1.png", exif=exif)
    Image.new("RGBA", (8, 4), (0, 0, 0, 9)).save(folder / "2.png")
    ran = bench("score", "--images", folder, "--rewards", "shapes-colour,jpeg_compressibility")
    said = [line for line in ran.err.splitlines() if " was " in line]
    assert said == [
        "1 picture was turned by EXIF orientation: 1.png",
        "1 picture was laid on white because of transparency: 2.png",
    ]


def test_a_picture_that_a_reward_cannot_resize_is_named(bench: Bench, tmp_path: Path) -> None:
    """A side of 65,501 pixels cannot be JPEG; a reward that can score it does."""
    folder = write_colours(tmp_path / "i", {"0.png": "red"})
    Image.new("RGB", (65_501, 1)).save(folder / "1.png")
    ran = bench("score", "--images", folder, "--rewards", "jpeg_compressibility")
    assert ran.code == 2 and "1.png cannot be scored with jpeg_compressibility" in ran.err and "65500" in ran.err
    assert bench("score", "--images", folder, "--rewards", "shapes-colour").code == 0

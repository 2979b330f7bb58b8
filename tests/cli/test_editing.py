"""Editing through the commands, on four edits of the shapes world in a user's own folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchbench import prompts
from benchbench.api import metadata
from benchbench.prompt_set import sources
from tests.cli.conftest import Bench, Ran


@pytest.fixture
def edits(tmp_path: Path) -> Path:
    """A folder of four pictures and edits.jsonl; the second is stored on its side, the third with 16 bits a value."""
    found, folder = prompts.load("shapes-edits").prompts[:4], tmp_path / "edits"
    folder.mkdir()
    lines = []
    for i, (prompt, row, source) in enumerate(zip(found, metadata(found), sources(found), strict=True)):
        assert source
        (folder / f"{i}.png").write_bytes(source.read())
        lines.append(json.dumps({"prompt": prompt, "image": f"{i}.png", **row}) + "\n")
    with Image.open(folder / "1.png") as image:
        exif = Image.Exif()
        exif[274] = 6
        image.transpose(Image.Transpose.ROTATE_90).save(folder / "1.png", exif=exif)
    Image.fromarray(np.full((40, 50), 30_000, np.uint16)).save(folder / "2.png")
    (folder / "edits.jsonl").write_text("".join(lines))
    return folder


@pytest.fixture
def evaluate(bench: Bench, tmp_path: Path) -> Callable[..., Ran]:
    def run(prompt_set: object, *words: object) -> Ran:
        fixed = ["--model", "shapes", "--rewards", "shapes-oracle", "--images-per-prompt", 1, "--device", "cpu"]
        return bench("eval", "--prompts", prompt_set, *fixed, "--steps", 4, *words)

    return run


def test_a_folder_of_edits_is_evaluated(evaluate: Callable[..., Ran], edits: Path, tmp_path: Path) -> None:
    """Two of four steps an edit. The same file by itself is the same set; the page shows the sources upright."""
    ran = evaluate(edits, "--strength", 0.5)
    assert ran.code == 0, ran.err
    assert "strength 0.5 (2 steps); 4 prompts of edits" in ran.text and "made 4 images" in ran.out
    assert "with 8 network evaluations" in ran.out
    assert "1 picture was turned by EXIF orientation: edits.jsonl, line 2: 1.png" in ran.out
    assert "1 picture was brought from 16 or more bits" in ran.out
    assert "made 0 images" in evaluate(edits / "edits.jsonl", "--strength", 0.5).out
    assert "made 4 images" in evaluate(edits, "--strength", 0.75).out
    pages = [json.loads(path.read_text()) for path in (tmp_path / "bench-store").rglob("page.json")]
    (grid,) = [section for section in pages[0]["sections"] if section["kind"] == "grid"]
    assert [row["label"] for row in grid["rows"]] == ["source", "base"]


def test_another_picture_is_another_image(evaluate: Callable[..., Ran], edits: Path) -> None:
    assert "made 4 images" in evaluate(edits, "--strength", 0.25).out
    Image.new("RGB", (32, 32), "red").save(edits / "0.png")
    assert "made 4 images" in evaluate(edits, "--strength", 0.25).out


def test_strength_and_pictures_belong_together(evaluate: Callable[..., Ran], edits: Path, tmp_path: Path) -> None:
    """The texts of a file may be used by themselves, as ever; a folder and a named set of edits may not."""
    for words, said in [
        ((edits,), "the prompts of edits edit pictures, and no strength is given"),
        (("shapes-edits",), "the prompts of shapes-edits edit pictures, and no strength is given"),
        (("shapes-simple", "--strength", 0.5), "shapes-simple has no pictures to edit"),
        ((edits, "--strength", 0.2), "strength 0.2 of 4 steps leaves no step"),
    ]:
        ran = evaluate(*words)
        assert ran.code == 2 and said in ran.err and len(ran.err.splitlines()) == 3
    for wrong in (0, -1, 1.5, "nan", "inf"):
        assert evaluate(edits, "--strength", wrong).code == 2
    assert not list((tmp_path / "bench-store").rglob("*.webp"))
    assert "made 4 images" in evaluate(edits / "edits.jsonl").out


def test_a_damaged_picture_is_named_before_the_first_image(
    evaluate: Callable[..., Ran], edits: Path, tmp_path: Path
) -> None:
    (edits / "3.png").write_bytes((edits / "3.png").read_bytes()[:60])
    ran = evaluate(edits, "--strength", 0.5)
    assert ran.code == 4 and "edits.jsonl, line 4: 3.png cannot be read as a picture" in ran.err
    assert not list((tmp_path / "bench-store").rglob("*.webp"))


def test_editing_is_measured(bench: Bench, edits: Path) -> None:
    ran = bench("measure", "editing", "--model", "shapes", "--prompts", edits, "--device", "cpu", "--quick")
    assert ran.code == 0, ran.err
    assert "\nsource, only encoded and decoded  " in ran.out and "\nbase, strength 0.5  " in ran.out
    assert bench("measure", "editing", "--model", "shapes", "--reward", "shapes-colour", "--quick").code == 2


def test_no_training_takes_a_set_of_edits(bench: Bench) -> None:
    ran = bench("train", "--method", "ddpo", "--model", "shapes", "--prompts", "shapes-edits", "--samples", 16)
    assert ran.code == 2 and "edit pictures, which nothing here reads" in ran.err

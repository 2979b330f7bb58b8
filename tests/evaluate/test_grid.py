"""Grids and films: the pictures are those of an evaluation, the rule that chose them is stated and followed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchbench.cli.main import main
from benchbench.evaluate import grid
from benchbench.evaluate.measure import measure
from benchbench.evaluate.report import evaluate
from benchbench.report.figure import PictureRow, draw
from benchbench.report.folder import PAGE_DATA
from benchbench.rewards import lookup
from benchbench.types import PromptSet
from tests.evaluate.test_evaluate import write_run
from tests.tiny import write_tiny_sd

REWARD = "jpeg_compressibility"
PROMPTS = PromptSet("abc", ("a cat", "a dog", "an <b>eel</b>", "a cow", "an ant"), "", "")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_sd(tmp_path_factory.mktemp("tiny") / "tiny-sd"))


def options(store: Path) -> dict[str, object]:
    return {"seeds": [0], "store": store, "device": "cpu", "log": lambda _: None, "sampler": {"steps": 2}}


def page(folder: Path) -> dict[str, object]:
    section: dict[str, object] = json.loads((folder / PAGE_DATA).read_text())["sections"][0]
    return section


def test_the_pictures_of_some_prompts_are_those_of_an_evaluation_of_all(model: str, tmp_path: Path) -> None:
    """Two of five prompts are drawn; only their images are stored, with the bits that an evaluation makes."""
    for store in (tmp_path / "a", tmp_path / "b"):
        write_run(store, model)
    folder = grid.compare_models(model, ["ddpo-1"], PROMPTS, (), rule="random", count=2, **options(tmp_path / "a"))
    made = {path.name: path.read_bytes() for path in (tmp_path / "a" / "images").rglob("*.webp")}
    assert len(made) == 2 and len(list((tmp_path / "a" / "images").rglob("*.webp"))) == 4
    evaluate(
        model,
        ["ddpo-1"],
        PROMPTS,
        [REWARD],
        store=tmp_path / "b",
        images_per_prompt=1,
        sampler={"steps": 2},
        device="cpu",
        log=lambda _: None,
    )
    expected = {p.relative_to(tmp_path / "b"): p.read_bytes() for p in (tmp_path / "b" / "images").rglob("*.webp")}
    for path in (tmp_path / "a" / "images").rglob("*.webp"):
        assert path.read_bytes() == expected[path.relative_to(tmp_path / "a")]
    section = page(folder)
    assert [row["label"] for row in section["rows"]] == ["base", "ddpo"]  # type: ignore[index, attr-defined]
    assert set(section["prompts"]) < set(PROMPTS.prompts)  # type: ignore[call-overload]
    assert "2 of the 5 prompts of abc were drawn at random" in str(section["caption"])
    assert (folder / "figure.pdf").read_bytes().startswith(b"%PDF") and Image.open(folder / "figure.png").width > 300
    assert "<b>eel" not in (folder / "report.html").read_text()


def test_the_largest_difference_is_chosen_and_said(model: str, tmp_path: Path) -> None:
    write_run(tmp_path, model)
    classes = [lookup.get(REWARD)]
    folder = grid.compare_models(model, ["ddpo-1"], PROMPTS, classes, rule="difference", count=2, **options(tmp_path))
    rows = {"base": [], "ddpo": ["ddpo-1"]}
    measured = measure(
        model,
        rows,
        PROMPTS,
        [REWARD],
        store=tmp_path,
        images_per_prompt=1,
        sampler={"steps": 2},
        device="cpu",
        log=lambda _: None,
    )
    scores = [measured.frames[label].sort_values("prompt_index").score.to_numpy() for label in rows]
    expected = [PROMPTS.prompts[i] for i in np.argsort(-np.abs(scores[1] - scores[0]), kind="stable")[:2]]
    section = page(folder)
    assert section["prompts"] == expected
    assert "selected, so not typical" in str(section["caption"])
    notes = [note for row in section["rows"] for note in row["notes"]]  # type: ignore[attr-defined]
    assert len(notes) == 4 and all(note.startswith(REWARD) for note in notes)


def test_a_film_shows_what_a_run_kept(model: str, tmp_path: Path) -> None:
    run = write_run(tmp_path, model)
    kept = run / "kept" / "00000001"
    kept.mkdir(parents=True)
    other = write_run(tmp_path / "other", model, seed=7)
    (kept / "pytorch_lora_weights.safetensors").write_bytes((other / "pytorch_lora_weights.safetensors").read_bytes())
    given = PromptSet("given prompts", ("a cat",), "", "")
    settings = options(tmp_path) | {"seeds": [0, 1]}
    folder = grid.film(model, "ddpo-1", given, [lookup.get(REWARD)], rule="all", count=6, **settings)
    section = page(folder)
    assert section["prompts"] == ["0", "1", "2"]
    rows = section["rows"]
    assert [row["label"] for row in rows] == ["a cat, seed 0", "a cat, seed 1"]  # type: ignore[attr-defined]
    assert all(len(set(row["images"])) == len(row["notes"]) == 3 for row in rows)  # type: ignore[attr-defined]


def test_wrong_words_are_told_before_anything_is_made(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, model)
    where = ["--model", model, "--store", str(tmp_path), "--device", "cpu"]
    for words, told in (
        (["ddpo-1", "--film", "--prompts", "a cat"], "kept no adapter"),
        (["--film"], "a film is of one run"),
        (["--prompts", "a cat", "--rewards", f"{REWARD}=1,jpeg_incompressibility=2"], "has no score for one picture"),
        (["--prompts", "animals", "--select", "difference"], "no difference to choose by"),
        (["ddpo-1", "ddpo-1", "--prompts", "a cat"], "one name"),
        (["nothing"], "no run 'nothing'"),
    ):
        assert main(["grid", *words, *where]) in (2, 3, 4)
        err = capsys.readouterr().err
        assert told in err and err.count("\n") <= 4
    assert not (tmp_path / "images").exists()


def test_a_figure_is_the_same_file_each_time_and_keeps_dollar_signs() -> None:
    picture = Image.new("RGB", (32, 32), "red")
    rows = [PictureRow("a label that is longer than one line", (picture, picture), ("x 1.0", "x 2.0"))]
    for kind in ("png", "pdf"):
        assert draw(["$a$", "b\nseed 1"], rows, kind) == draw(["$a$", "b\nseed 1"], rows, kind)

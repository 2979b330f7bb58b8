"""``bench parity``: what it asks, what it prints, and its exit status. The packages' side gives numbers of the test."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchbench.evaluate.folder_images import find_images
from benchbench.parity import child, environment, run
from benchbench.parity.pictures import prompts
from tests.cli.conftest import Bench
from tests.parity.conftest import script
from tests.reward_models.conftest import natural

GAP = {"pickscore": 0.0, "hpsv2.1": 0.0}
"""By how much theirs differ, in our unit; hpsv2 gives a hundredth."""


@pytest.fixture
def both_sides(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """An environment that is there, and both sides' scores: 0, 1, 2, ... of ours, and theirs with a gap."""
    gaps = dict(GAP)

    def ours(images: list[Path], prompts: list[str], rewards: list[Any], **options: Any) -> pd.DataFrame:
        assert len(find_images(images[0].parent).paths) == len(images) == len(prompts)
        return pd.DataFrame({"score": [float(i) for i in range(len(images))]})

    def theirs(python: Path, reward: str, files: Any, pictures: Any, prompts: Any, folder: Path) -> list[float]:
        assert python == tmp_path / "python" and folder.is_dir() and all(path.is_file() for f in files for path in f)
        factor = 100.0 if reward.startswith("hpsv2") else 1.0
        return [(i + gaps[reward]) / factor for i in range(len(pictures))]

    monkeypatch.setattr(run, "score_folder", ours)
    monkeypatch.setattr(child, "scores", theirs)
    monkeypatch.setattr(environment, "find", lambda: tmp_path / "python")
    return gaps


def test_equal_scores_are_a_table_and_success(bench: Bench, both_sides: dict[str, float], tmp_path: Path) -> None:
    ran = bench("parity", "--rewards", "pickscore,hpsv2.1", "--count", 3, "--out", tmp_path / "a.json")
    assert ran.code == 0, ran.err
    rows = [line.split("\t") for line in ran.out.splitlines() if "\t" in line]
    assert [row[0] for row in rows] == ["reward", "pickscore", "hpsv2.1"]
    assert rows[1][2:] == ["3", "1", "1", "0.0e+00", "0.0e+00", "equal to 0.0001 SD"]
    read = json.loads((tmp_path / "a.json").read_text())
    assert [row["ours"] for row in read["rewards"]] == [[0, 1, 2]] * 2 and "torch==2.2.2" in read["packages"]
    assert read["prompts"] == prompts(3)


def test_a_difference_is_named_after_the_table_and_fails(
    bench: Bench, both_sides: dict[str, float], tmp_path: Path
) -> None:
    both_sides["hpsv2.1"] = 0.5
    ran = bench("parity", "--rewards", "pickscore,hpsv2.1", "--count", 3, "--out", tmp_path / "a.csv")
    assert ran.code == 5 and "hpsv2.1\thpsv2 1.2.0\t3\t1\t1\t5.0e-01\t5.0e-01\tDIFFERENT" in ran.out
    assert ran.err.strip().splitlines()[-3].startswith("error: 1 of 2 rewards could not be shown equal")
    assert (tmp_path / "a.csv").read_text().count("DIFFERENT") == 1, "the table is kept where it matters most"


def test_a_folder_of_pictures(bench: Bench, both_sides: dict[str, float], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for i in range(2):
        natural(i, 40, 30).save(tmp_path / "mine" / f"{i}.webp")
    ran = bench("parity", "--rewards", "pickscore", "--images", tmp_path / "mine")
    assert ran.code == 0 and "\t2\t0.5\t" in ran.out
    (tmp_path / "mine" / "1.webp").unlink()
    assert bench("parity", "--rewards", "pickscore", "--images", tmp_path / "mine").code == 2


def test_rewards_without_weights_are_listed_and_left_out(
    bench: Bench, weights: Path, both_sides: dict[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "some"
    folder.mkdir()
    for name in ("PickScore_v1", "CLIP-ViT-H-14-laion2B-s32B-b79K"):
        (folder / name).symlink_to(weights / name)
    monkeypatch.setenv("BENCH_WEIGHTS", str(folder))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    ran = bench("parity", "--rewards", "pickscore,hpsv2.1", "--count", 2)
    assert ran.code == 0 and "hpsv2.1: no weights; bench fetch --rewards hpsv2.1" in ran.out
    assert [line.split("\t")[0] for line in ran.out.splitlines() if "\t" in line] == ["reward", "pickscore"]


def test_no_weights_at_all_is_three_lines(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    ran = bench("parity", "--rewards", "pickscore")
    assert ran.code == 3 and "no reward can be compared" in ran.err and "bench fetch --rewards pickscore" in ran.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rewards", "pickscor"], "did you mean pickscore?"),
        (["--rewards", "jpeg_compressibility"], "there is no reward that an authors' package computes"),
        (["--rewards", "pickscore", "--out", "old.json"], "nothing is overwritten"),
        (["--rewards", "pickscore", "--images", "nowhere"], "no images in nowhere"),
    ],
)
def test_wrong_words_are_refused_before_anything_is_made(
    bench: Bench,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old.json").write_text("{}")
    ran = bench("parity", *words, "--yes")
    assert ran.code in (2, 3) and said in ran.err and not environment.folder().exists()


@pytest.mark.parametrize("answer", ["n\n", ""], ids=["no", "nobody"])
def test_without_a_yes_nothing_is_installed(
    bench: Bench,
    weights: Path,
    bare_machine: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
) -> None:
    script(bare_machine / "bin" / "python3.10", "echo 3.10")
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    ran = bench("parity", "--rewards", "pickscore")
    assert ran.code == 2 and "nothing was installed" in ran.err and "bench parity --yes" in ran.err
    assert "6 GB" in ran.out and str(environment.folder()) in ran.out and not environment.folder().exists()


def test_no_python_is_three_lines_before_the_question(
    bench: Bench,
    weights: Path,
    bare_machine: Path,
) -> None:
    ran = bench("parity", "--rewards", "pickscore")
    assert ran.code == 3 and "no Python 3.10 was found" in ran.err and "install them?" not in ran.out

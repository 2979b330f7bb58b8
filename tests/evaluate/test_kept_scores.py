"""Scores of a folder that a broken command leaves: written every half minute, by file and prompt, and never mixed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchbench.api import Prompt
from benchbench.evaluate import kept_scores
from benchbench.evaluate.kept_scores import KeptScores
from tests.evaluate.fakes import Mean


class Other(Mean):
    version = "2"


class Needing(Mean):
    name, needs = "needing", ("tag",)


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / name for name in ("a.png", "b.png", os.fsdecode(b"\xff.png"))]
    for n, path in enumerate(paths):
        path.write_bytes(b"x" * n)
    return paths


def test_what_is_kept_is_found_by_file_and_prompt(tmp_path: Path, images: list[Path]) -> None:
    prompts = ["a cat", "a dog", "a cat"]
    first = KeptScores(tmp_path / "store", images, prompts, Mean)
    assert first.missing() == [0, 1, 2] and not first.path.exists()
    first.add([0, 2], [0.5, 1.5])
    assert not first.path.exists()  # half a minute has not passed
    first.save()
    again = KeptScores(tmp_path / "store", images, prompts, Mean)
    assert again.missing() == [1]
    again.add([1], [2.5])
    assert again.values() == [0.5, 2.5, 1.5]
    images[0].write_bytes(b"other")
    assert KeptScores(tmp_path / "store", images, ["a cat", "a dog", "a cow"], Mean).missing() == [0, 1, 2]
    assert KeptScores(tmp_path / "store", images[::-1], prompts[::-1], Mean).missing() == [1, 2]
    first.remove()
    assert not first.path.parent.exists()
    first.remove()


def test_rewards_versions_and_needed_metadata_are_kept_apart(tmp_path: Path, images: list[Path]) -> None:
    def kept(kind: type[Mean], tag: int) -> KeptScores:
        return KeptScores(tmp_path, images, [Prompt("a", {"tag": tag})] * 3, kind)

    for kind in (Mean, Needing):
        one = kept(kind, 1)
        one.add([0, 1, 2], [1.0, 2.0, 3.0])
        one.save()
    assert kept(Mean, 1).missing() == kept(Mean, 2).missing() == kept(Needing, 1).missing() == []
    assert kept(Other, 1).missing() == kept(Needing, 2).missing() == [0, 1, 2]


def test_it_is_written_now_and_then(tmp_path: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill loses what was scored since; a damaged file counts as none."""
    monkeypatch.setattr(kept_scores, "SAVE_EVERY", 0.0)
    kept = KeptScores(tmp_path, images, ["a"] * 3, Mean)
    kept.add([0], [1.0])
    assert KeptScores(tmp_path, images, ["a"] * 3, Mean).missing() == [1, 2]
    kept.path.write_text(kept.path.read_text().replace("1.0", "7.0"))
    assert KeptScores(tmp_path, images, ["a"] * 3, Mean).missing() == [0, 1, 2]

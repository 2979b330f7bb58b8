"""Score files: whole, typed, and made again when they cannot be read."""

from pathlib import Path

import pytest

from benchbench.api import Reward
from benchbench.store.scores import COLUMNS, ScoreStore, score_frame


class Fake(Reward):
    name, version, unit, range, differentiable, weights = "fake", "org/model@1", "points", (0.0, 1.0), False, "none"

    def score(self, images, prompts):  # type: ignore[no-untyped-def]
        pytest.fail("a store reads and writes scores, it makes none")


ROW = dict(zip(COLUMNS, (0, "a cat", 1, 3, "fake", "org/model@1", "points", 0.5, "ff"), strict=True))


def test_round_trip_keeps_types(tmp_path: Path) -> None:
    scores = ScoreStore(tmp_path, "id", Fake)
    assert scores.path == tmp_path / "scores" / "id" / "fake-org_model_1.parquet"
    scores.write(score_frame([ROW]))
    again = scores.read(pytest.fail)
    assert again.iloc[0].to_dict() == ROW
    assert str(again["score"].dtype) == "float64" and str(again["sample"].dtype) == "int64"


def test_no_file_is_no_rows(tmp_path: Path) -> None:
    assert ScoreStore(tmp_path, "id", Fake).read(pytest.fail).empty


@pytest.mark.parametrize("content", [b"", b"PAR1 but not really", b"\0" * 500])
def test_an_unreadable_file_is_named_and_its_rows_are_gone(tmp_path: Path, content: bytes) -> None:
    scores = ScoreStore(tmp_path, "id", Fake)
    scores.write(score_frame([ROW]))
    scores.path.write_bytes(content)
    said: list[str] = []
    assert scores.read(said.append).empty
    assert len(said) == 1 and str(scores.path) in said[0]


def test_a_file_without_a_column_is_unreadable(tmp_path: Path) -> None:
    scores = ScoreStore(tmp_path, "id", Fake)
    scores.write(score_frame([ROW]).drop(columns="image_sha256"))
    said: list[str] = []
    assert scores.read(said.append).empty and len(said) == 1


def test_scores_of_another_version_are_not_ours(tmp_path: Path) -> None:
    scores = ScoreStore(tmp_path, "id", Fake)
    scores.write(score_frame([ROW, {**ROW, "version": "2", "sample": 2}]))
    assert list(scores.read(pytest.fail)["sample"]) == [1]

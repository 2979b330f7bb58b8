"""Pairs made of a base model's images and a reward: which images meet, which wins, and nothing is made twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from benchbench.api import PromptSet
from benchbench.errors import CorruptError, UsageError
from benchbench.evaluate import make_pairs as pair_maker
from benchbench.evaluate.lazy_model import LazyModel
from benchbench.evaluate.make_pairs import find_or_make, make_pairs, paired_indices
from benchbench.pairs.open import open_pairs
from benchbench.rewards import lookup
from benchbench.samplers import SamplerConfig

PROMPTS = PromptSet("two", ("red circle", "blue square"), "", "")
SAMPLER = SamplerConfig(steps=2)


def make(store: Path, images: int = 3, **options: Any) -> Path:
    options = {"sampler": SAMPLER, "device": "cpu", "log": lambda line: None, **options}
    return make_pairs("shapes", PROMPTS, "shapes-colour", store, images, **options)


def test_who_meets_whom() -> None:
    """Four images form the pairs 0-1, 1-2, 2-3, 3-0, and two images one pair. Each image of K > 2 is in two pairs."""
    assert list(paired_indices(4)) == [(0, 1), (1, 2), (2, 3), (3, 0)] and list(paired_indices(2)) == [(0, 1)]


def test_pairs_are_the_rewards_choices(tmp_path: Path) -> None:
    """2 prompts of 3 images: 6 pairs. The reward, asked again about the two pictures, prefers the winner."""
    folder = make(tmp_path)
    pairs = open_pairs(str(folder))
    record = json.loads((folder / "record.json").read_text())
    assert (record["images"], record["pairs"], record["ties"], len(pairs)) == (6, 6, 0, 6)
    assert list(pairs.captions()) == ["red circle"] * 3 + ["blue square"] * 3 and pairs.name == folder.name
    reward = lookup.get("shapes-colour")("cpu")
    rows = pq.read_table(folder / "pairs.parquet").to_pylist()
    for i, row in enumerate(rows):
        raw = pairs[i]
        winner, loser = reward.score([raw.winner, raw.loser], [raw.caption] * 2).tolist()
        assert winner > loser and (winner, loser) == pytest.approx((row["winner_score"], row["loser_score"]))
        assert {row["winner_sample"], row["loser_sample"]} == set(list(paired_indices(3))[i % 3])


def test_what_is_there_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time nothing is opened. A torn file is made again from the stored images, without the model."""
    said: list[str] = []
    folder = make(tmp_path, log=said.append)
    before = (folder / "pairs.parquet").read_bytes()
    assert any("making pairs of 6 images" in line for line in said)

    def never(*args: object) -> None:
        raise AssertionError("it was made again")

    monkeypatch.setattr(LazyModel, "_open", never)
    with monkeypatch.context() as stricter:
        stricter.setattr(pair_maker, "measure", never)
        assert make(tmp_path) == folder
    (folder / "pairs.parquet").write_bytes(before[:100])
    said.clear()
    assert make(tmp_path, log=said.append) == folder and "is made again" in said[0]
    assert (folder / "pairs.parquet").read_bytes() == before
    (folder / ".pairs.parquet.1.tmp").write_bytes(b"left by a kill")
    (folder / "pairs.parquet").unlink()
    (folder / "record.json").write_text(json.dumps({"key": json.loads((folder / "record.json").read_text())["key"]}))
    make(tmp_path)
    assert (folder / "pairs.parquet").read_bytes() == before and len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 100_000])
def test_a_damaged_record_is_made_again(tmp_path: Path, content: str) -> None:
    """The folder in the store is named by the key of the pairs; a folder of the user's own is not touched."""
    folder, own = make(tmp_path), make(tmp_path, out=tmp_path / "own")
    before = (folder / "pairs.parquet").read_bytes(), json.loads((folder / "record.json").read_text())
    for place in (folder, own):
        (place / "record.json").write_text(content)
    make(tmp_path)
    record = json.loads((folder / "record.json").read_text())
    assert (folder / "pairs.parquet").read_bytes() == before[0]
    assert [record[name] for name in ("key", "sha256")] == [before[1][name] for name in ("key", "sha256")]
    with pytest.raises(UsageError, match="something else"):
        make(tmp_path, out=own)


def test_other_settings_are_other_pairs(tmp_path: Path) -> None:
    two, three, steps = make(tmp_path, 2), make(tmp_path, 3), make(tmp_path, 2, sampler=SamplerConfig(steps=3))
    seed = make(tmp_path, 2, seeds=(5,))
    assert len({two, three, steps, seed}) == 4
    assert len(open_pairs(str(two))) == 2


def test_ties_make_no_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A constant reward ties all 6 comparisons, so the set is empty, which is refused."""
    kind = lookup.get("shapes-colour")
    monkeypatch.setattr(kind, "score", lambda self, images, prompts: torch.ones(len(images)))
    folder = make(tmp_path)
    assert json.loads((folder / "record.json").read_text())["ties"] == 6
    with pytest.raises(UsageError, match="no pair"):
        open_pairs(str(folder))


def test_nothing_of_a_users_is_overwritten(tmp_path: Path) -> None:
    """Refuses a folder with a file in it, and one that holds other pairs."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "pairs.parquet").write_bytes(b"mine")
    with pytest.raises(UsageError, match="something else"):
        make(tmp_path, out=mine)
    assert (mine / "pairs.parquet").read_bytes() == b"mine"
    own = make(tmp_path, 2, out=tmp_path / "own")
    with pytest.raises(UsageError, match="something else"):
        make(tmp_path, 3, out=own)
    assert make(tmp_path, 2, out=own) == own
    with pytest.raises(UsageError, match="two images"):
        make(tmp_path, 1)


def test_the_images_are_not_those_of_an_evaluation(tmp_path: Path) -> None:
    """Made pairs have a seed that evaluations do not use by default (0), so their pictures are others."""
    made, judged = open_pairs(str(make(tmp_path))), open_pairs(str(make(tmp_path, seeds=(0,))))
    assert pair_maker.SEED != 0
    assert not np.array_equal(np.asarray(made[0].winner), np.asarray(judged[0].winner))


def test_a_reference_makes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``made:FILE:REWARD:IMAGES`` given twice is one set with one hash."""
    monkeypatch.setattr(pair_maker, "default_sampler", lambda model: SAMPLER)
    file = tmp_path / "mine.txt"
    file.write_text("red circle\n")
    first, second = (
        open_pairs(find_or_make(f"made:{file}:shapes-colour:4", tmp_path, device="cpu", log=lambda line: None))
        for _ in range(2)
    )
    assert len(first) == 4 and first.name.startswith("mine-") and first.hash == second.hash


def test_one_flipped_bit_is_refused_or_made_again(tmp_path: Path) -> None:
    """A folder that is named is refused, as ``bench pairs check`` does; pairs of a request are made again."""
    folder, said = make(tmp_path), list[str]()
    file = folder / "pairs.parquet"
    before = file.read_bytes()
    for place in range(0, len(before), len(before) // 5):
        file.write_bytes(before[:place] + bytes([before[place] ^ 1]) + before[place + 1 :])
        with pytest.raises(CorruptError, match="not those that were made") as error:
            open_pairs(str(folder))
        assert "bench pairs make" in error.value.remedy
        with pytest.raises(CorruptError, match="not those that were made"):
            open_pairs(str(file))
    make(tmp_path, log=said.append)
    assert file.read_bytes() == before and "is made again" in said[0] and len(open_pairs(str(folder))) == 6
    record = folder / "record.json"
    record.write_text(record.read_text().replace('"images": 6', '"images": 7'))
    with pytest.raises(CorruptError, match=r"record\.json is damaged"):
        open_pairs(str(folder))
    record.unlink()
    assert len(open_pairs(str(folder))) == 6  # pairs of one's own have no record


def test_pairs_by_other_weights_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    folder, weights = make(tmp_path), tmp_path / "weights"
    weights.write_text("other")
    monkeypatch.setattr(lookup.get("shapes-colour"), "weight_files", lambda: [weights])
    assert make(tmp_path, log=said.append) == folder
    assert "and not by weights of the reward shapes-colour" in said[0]
    said.clear()
    make(tmp_path, log=said.append)
    assert said == []


def test_pairs_are_made_of_words_that_the_model_knows(tmp_path: Path) -> None:
    """Unknown words are refused before anything is made, as for a training or an evaluation."""
    with pytest.raises(UsageError, match="the shapes model does not know the prompt set 'animals'"):
        find_or_make("made:animals:shapes-pref:2", tmp_path)
    assert list(tmp_path.iterdir()) == []

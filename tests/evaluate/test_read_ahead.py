"""Images are read and prepared ahead of the scores, in their order, a few batches at a time, with the same numbers."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from benchbench.api import PreparedReward
from benchbench.errors import CorruptError
from benchbench.evaluate import score_folder
from benchbench.evaluate.read_ahead import BATCHES, read_ahead
from benchbench.rewards import lookup
from benchbench.rewards.scoring import scoring
from benchbench.runtime.pictures import read_picture
from tests.evaluate.fakes import Mean
from tests.reward_models.conftest import LEARNED, natural, weights, weights_folder

__all__ = ["weights", "weights_folder"]  # fixtures
SIZES = [(40, 40), (32, 32), (64, 40), (40, 51), (33, 90), (100, 100), (48, 48)]


def picture(number: int) -> Image.Image:
    return Image.new("RGB", (4, 4), (number, number, number))


class Doubled(PreparedReward):
    """Scores twice the grey level, and records which threads prepared the images."""

    name, version, unit, range, differentiable, weights = "doubled", "1", "grey levels", (0.0, 510.0), False, "none"

    def __init__(self, device: torch.device | str = "cpu") -> None:
        super().__init__(device)
        self.threads: set[str] = set()

    def prepare(self, images: Sequence[Image.Image]) -> torch.Tensor:
        self.threads.add(threading.current_thread().name)
        return torch.tensor([[np.asarray(image).mean()] for image in images])

    def score_prepared(self, prepared: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        return 2 * prepared[:, 0].float()

    def score(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> torch.Tensor:
        return self.score_prepared(self.prepare(images), prompts)


@pytest.mark.parametrize("kind", [Mean, Doubled])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_batches_come_whole_and_in_order(kind: type, device: str) -> None:
    """Uses one thread, and several as on a GPU, where later images may be read first."""

    def read(number: int) -> Image.Image:
        time.sleep(0.002 * (number % 3 == 0))
        return picture(number)

    reward, before = kind(), torch.get_num_threads()
    found = list(read_ahead(range(50), 8, read, reward, device))
    assert [list(items) for items, _ in found] == [list(range(i, min(i + 8, 50))) for i in range(0, 50, 8)]
    score = scoring(reward)
    scores = torch.cat([score(images, [""] * len(items)) for items, images in found])
    assert scores.tolist() == [(2 if kind is Doubled else 1) * float(i) for i in range(50)]
    assert torch.get_num_threads() == before
    if kind is Doubled:
        assert all(name.startswith("read") for name in reward.threads)


def test_no_more_than_a_few_batches_are_ahead() -> None:
    begun: list[int] = []
    batches = read_ahead(range(100), 10, lambda n: begun.append(n) or picture(n), Mean(), "cpu")
    for number, _ in enumerate(batches):
        time.sleep(0.02)
        assert len(begun) <= 10 * (number + 1 + BATCHES)
    assert sorted(begun) == list(range(100))


def test_the_next_batch_is_read_while_one_is_scored() -> None:
    """Waits for images that are read only because reading goes on by itself."""
    read: dict[int, threading.Event] = {n: threading.Event() for n in range(30)}

    def one(number: int) -> Image.Image:
        read[number].set()
        return picture(number)

    for items, _ in read_ahead(range(30), 10, one, Mean(), "cpu"):
        assert read[min(items[-1] + 10, 29)].wait(timeout=30)


@pytest.mark.parametrize("error", [CorruptError("a", "b", "c"), KeyboardInterrupt()])
def test_an_error_comes_after_what_was_read_before_it_and_ends_the_threads(error: BaseException) -> None:
    def read(number: int) -> Image.Image:
        if number == 25:
            raise error
        return picture(number)

    seen: list[int] = []
    with pytest.raises(type(error)):
        for items, _ in read_ahead(range(100), 10, read, Mean(), "cuda"):
            seen += items
    assert seen == list(range(20))
    assert not [t for t in threading.enumerate() if t.name.startswith("read")]


def test_closing_early_reads_no_further() -> None:
    begun: list[int] = []
    batches = read_ahead(range(1000), 10, lambda n: begun.append(n) or picture(n), Mean(), "cpu")
    next(batches)
    batches.close()
    assert len(begun) <= 10 * (1 + BATCHES)
    assert not [t for t in threading.enumerate() if t.name.startswith("read")]


@pytest.mark.parametrize("name", LEARNED)
def test_prepared_alone_and_in_threads_the_scores_are_the_same_to_the_bit(name: str, weights: Path) -> None:
    reward = lookup.get(name)()
    assert isinstance(reward, PreparedReward)
    images = [natural(i, *size) for i, size in enumerate(SIZES)]
    prompts = ["a cat", "a dog", "z", "a cat", "the quick brown fox", "q", "r"]
    for size in (3, 7):
        whole = [reward.score(images[i : i + size], prompts[i : i + size]) for i in range(0, len(images), size)]
        parts = [
            scoring(reward)(pixels, [prompts[i] for i in items])
            for items, pixels in read_ahead(range(len(images)), size, images.__getitem__, reward, "cuda")
        ]
        assert torch.equal(torch.cat(parts), torch.cat(whole))


def test_a_folder_is_scored_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compares files of several modes, scored in batches of four, with one call for all of them."""
    monkeypatch.setattr(score_folder, "BATCH", 4)
    paths = [tmp_path / f"{i}.png" for i in range(10)]
    for i, path in enumerate(paths):
        natural(i, 20, 24).convert("L" if i % 3 == 0 else "RGB").save(path)
    kind = lookup.get("shapes-aesthetic")
    frame = score_folder.score_folder(
        paths, [f"p{i}" for i in range(10)], [kind], store=tmp_path, device="cpu", log=pytest.fail
    )
    opened = [read_picture(path, path.name).image for path in paths]
    expected = [float(kind().score([image], ["p"])) for image in opened]
    pd.testing.assert_series_equal(frame.score, pd.Series(expected), check_names=False, rtol=1e-6)
    paths[5].write_bytes(b"not an image")
    with pytest.raises(CorruptError, match=r"5\.png"):
        score_folder.score_folder(paths, ["p"] * 10, [kind], store=tmp_path, device="cpu", log=pytest.fail)

"""Only what has no score is scored; a score belongs to the pixels it was given for."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from benchbench.errors import CorruptError, RunError
from benchbench.evaluate.eval_cost import EvalCost
from benchbench.evaluate.generate import Generation
from benchbench.evaluate.score import score
from benchbench.store.scores import ScoreStore
from tests.evaluate.fakes import Generator, Mean
from tests.evaluate.test_generate import run


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    Mean.loads, Mean.shown = 0, []
    return


def scored(generations: list[Generation], store: Path, kind: type = Mean, log: Any = pytest.fail) -> pd.DataFrame:
    return score(generations, [kind], store=store, device="cpu", batch_size=4, log=log)[0]


def test_rows_are_what_they_say(tmp_path: Path) -> None:
    made = run(Generator(), tmp_path)
    rows = scored(made, tmp_path)
    assert rows[["prompt_index", "sample"]].to_numpy().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]]
    assert set(rows.reward) == {"mean"} and set(rows.unit) == {"grey levels"} and set(rows.eval_seed) == {0}
    for row, item in zip(rows.itertuples(), made[0].entries, strict=True):
        assert row.score == pytest.approx(np.asarray(made[0].images.read(item)).mean(), rel=1e-6)
        assert row.prompt == item.prompt and row.image_sha256 == made[0].entries[item].sha256


def test_the_second_time_no_reward_is_loaded(tmp_path: Path) -> None:
    made = run(Generator(), tmp_path)
    first, again = scored(made, tmp_path), scored(made, tmp_path)
    assert Mean.loads == 1 and len(Mean.shown) == 6
    pd.testing.assert_frame_equal(first, again)


def test_more_images_need_only_their_scores(tmp_path: Path) -> None:
    scored(run(Generator(), tmp_path), tmp_path)
    more = scored(run(Generator(), tmp_path, images_per_prompt=3), tmp_path)
    assert len(Mean.shown) == 9 and len(more) == 9
    fewer = scored(run(Generator(), tmp_path), tmp_path)
    assert len(Mean.shown) == 9 and len(fewer) == 6


def test_an_image_that_changed_is_scored_again_and_others_are_not(tmp_path: Path) -> None:
    made = run(Generator(), tmp_path)
    scored(made, tmp_path)
    item = list(made[0].entries)[3]
    made[0].images.write(item, np.full((8, 8, 3), 7, np.uint8))
    rows = scored(run(Generator(), tmp_path), tmp_path)
    assert len(Mean.shown) == 7 and rows.score[3] == 7 and len(rows) == 6


def test_an_unreadable_file_is_named_and_made_again(tmp_path: Path) -> None:
    made, said = run(Generator(), tmp_path), list[str]()
    first = scored(made, tmp_path)
    path = ScoreStore(tmp_path, made[0].images.id, Mean).path
    path.write_bytes(path.read_bytes()[:-8])
    pd.testing.assert_frame_equal(scored(made, tmp_path, log=said.append), first)
    assert len(Mean.shown) == 12 and str(path) in said[0]


class Breaks(Mean):
    name = "breaks"

    def score(self, images: Sequence[Any], prompts: Sequence[str]) -> torch.Tensor:
        values = super().score(images, prompts)
        if len(self.shown) > 4:
            values[1] = float("nan")
        return values


def test_not_a_number_names_the_image_and_keeps_the_rest(tmp_path: Path) -> None:
    made = run(Generator(), tmp_path)
    with pytest.raises(RunError) as raised:
        scored(made, tmp_path, Breaks)
    assert "breaks gave nan" in raised.value.problem
    for words in ("prompt 2 'a cat'", "sample 1", "seed 0", "00002-01.webp"):
        assert words in raised.value.cause
    assert len(ScoreStore(tmp_path, made[0].images.id, Breaks).read(pytest.fail)) == 4


def test_as_many_scores_as_images(tmp_path: Path) -> None:
    class Square(Mean):
        name = "square"

        def score(self, images: Sequence[Any], prompts: Sequence[str]) -> torch.Tensor:
            return torch.zeros(len(images), len(images)).flatten()

    with pytest.raises(RunError, match="square is wrong") as raised:
        scored(run(Generator(), tmp_path), tmp_path, Square)
    assert "shape [16]" in raised.value.problem and "4 images" in raised.value.cause


def test_a_damaged_image_is_never_scored(tmp_path: Path) -> None:
    made = run(Generator(), tmp_path)
    path = made[0].images.path(next(iter(made[0].entries)))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CorruptError, match=path.name):
        scored(made, tmp_path)


def test_out_of_memory_halves_the_batch_and_changes_no_score(tmp_path: Path) -> None:
    """Six images are scored four at a time where memory holds one: each is scored once, with the same score."""

    class Small(Mean):
        name = "small"

        def score(self, images: Sequence[Any], prompts: Sequence[str]) -> torch.Tensor:
            if len(images) > 1:
                raise torch.OutOfMemoryError("no room")
            return super().score(images, prompts)

    made = run(Generator(), tmp_path)
    cost, said = EvalCost(), list[str]()
    rows = score(made, [Small], store=tmp_path, device="cpu", batch_size=4, log=said.append, cost=cost)[0]
    assert said == ["out of memory in the reward small: going on with one image at a time"]
    assert rows.score.tolist() == scored(made, tmp_path).score.tolist()
    assert cost.reward_calls == 6 and Small.loads == 1


def test_other_weights_score_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version stays, and the file of weights has another content: old scores are not served."""
    weights, said = tmp_path / "weights", list[str]()
    weights.write_text("one")
    monkeypatch.setattr(Mean, "weight_files", lambda: [weights])
    made = run(Generator(), tmp_path)
    scored(made, tmp_path)
    scored(made, tmp_path, log=said.append)
    assert len(Mean.shown) == 6 and said == []
    weights.write_text("two")
    scored(made, tmp_path, log=said.append)
    assert len(Mean.shown) == 12 and "weights of the reward mean" in said[0] and "is made again" in said[0]


class Short(Mean):
    """Reads three letters of a prompt."""

    name = "short"

    def cut(self, prompts: Sequence[str]) -> tuple[int, int]:
        return sum(len(prompt) > 3 for prompt in prompts), 3


def test_prompts_that_are_cut_are_said_once_a_command(tmp_path: Path) -> None:
    """Two generations of two different prompts; nothing is said where all is scored already."""
    made, said = [*run(Generator(), tmp_path), *run(Generator(), tmp_path, eval_seeds=[1])], list[str]()
    scored(made, tmp_path, Short, said.append)
    [line] = [line for line in said if "warning" in line]
    assert "short reads the first 3 tokens" in line and "2 of 2 different prompts" in line
    scored(made, tmp_path, Short, pytest.fail)

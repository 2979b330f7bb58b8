"""A reward of this machine that needs metadata: each row's own, scored apart from other values of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL.Image import Image

from benchbench.api import Prompt, PromptSet, Reward, UsageError, metadata
from benchbench.rewards.needs import check_needs
from tests.evaluate.fakes import PROMPTS, Generator
from tests.evaluate.test_generate import run
from tests.evaluate.test_score import scored


class Tag(Reward):
    """Scores the tag of the row; takes two images at a time, and records how many it was shown."""

    name, version, unit, range, differentiable, weights = "tag", "1", "x", (0.0, 9.0), False, "none"
    needs = ("tag",)
    max_batch = 2
    calls: list[int] = []

    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> torch.Tensor:
        self.calls.append(len(images))
        return torch.tensor([float(row["tag"]) for row in metadata(prompts, self.needs)])


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Tag.calls = []


def tagged(*tags: int, **other: int) -> PromptSet:
    rows = [Prompt(text, {"tag": tag, **other}) for text, tag in zip(PROMPTS.prompts, tags, strict=True)]
    return replace(PROMPTS, prompts=tuple(rows))


def test_rows_of_one_text_have_scores_of_their_own(tmp_path: Path) -> None:
    """The set's first and third prompts are one text; images are those of the plain set."""
    generator = Generator()
    plain = run(generator, tmp_path)
    made = run(generator, tmp_path, prompts=tagged(1, 2, 3))
    assert generator.made == 6 and made[0].images.id == plain[0].images.id
    assert scored(made, tmp_path, Tag).score.tolist() == [1, 1, 2, 2, 3, 3] and Tag.calls == [2, 2, 2]


def test_only_a_change_of_what_is_needed_scores_again(tmp_path: Path) -> None:
    for tags, other, calls in (
        ((1, 2, 3), {}, 3),
        ((1, 2, 3), {"unread": 7}, 3),
        ((1, 2, 4), {}, 6),
        ((1, 2, 3), {}, 6),
    ):
        rows = scored(run(Generator(), tmp_path, prompts=tagged(*tags, **other)), tmp_path, Tag)
        assert rows.score.tolist() == [tag for tag in tags for _ in range(2)] and len(Tag.calls) == calls


def test_fewer_images_of_a_prompt_use_the_same_scores(tmp_path: Path) -> None:
    scored(run(Generator(), tmp_path, prompts=tagged(1, 2, 3)), tmp_path, Tag)
    fewer = run(Generator(), tmp_path, prompts=tagged(1, 2, 3), images_per_prompt=1)
    assert scored(fewer, tmp_path, Tag).score.tolist() == [1, 2, 3] and len(Tag.calls) == 3


def test_a_set_that_lacks_a_field_is_named_with_its_first_row() -> None:
    check_needs("animals", tagged(1, 2, 3).prompts, [Tag])
    with pytest.raises(UsageError) as error:
        check_needs("animals", (*tagged(1, 2, 3).prompts, Prompt("a bird", {"tags": 4}), "a fish"), [Tag])
    assert str(error.value).splitlines() == [
        "the prompt set animals has no 'tag', which the reward tag needs",
        "  why: 2 of 5 prompts lack it: number 4, 'a bird', has the fields tags",
        '  do:  give a JSONL file with it in each line, as {"prompt": "a cat", "tag": ...}',
    ]

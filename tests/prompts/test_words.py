"""Prompts that a model cannot read."""

from __future__ import annotations

import pytest

from benchbench import prompts
from benchbench.api import PromptSet
from benchbench.errors import UsageError
from benchbench.prompts.words import check_vocabulary, too_long


class WordTokenizer:
    """One token a word and two around, as CLIP's tokenizer puts."""

    model_max_length = 6

    def __call__(self, text: str, truncation: bool) -> dict[str, list[int]]:
        return {"input_ids": [0] * (len(text.split()) + 2)}


def test_a_prompt_over_the_tokenizers_limit_is_named() -> None:
    found = too_long(PromptSet("mine", ("a red circle", "a b c d", "a b c d e"), "", ""), WordTokenizer())
    assert found == ["mine: the end of 'a b c d e' is cut off: 7 tokens, the model reads 6"]


def test_the_shapes_sets_are_known_to_the_shapes_model() -> None:
    check_vocabulary(prompts.load("shapes-simple"), "shapes")
    check_vocabulary(prompts.load("shapes-complex"), "shapes")


def test_words_that_the_shapes_model_does_not_know_are_refused_with_a_fitting_set() -> None:
    with pytest.raises(UsageError, match="no word 'cat', which stands in 'cat', and 44 other words") as caught:
        check_vocabulary(prompts.load("animals"), "shapes+vae=other/vae")
    assert "shapes-simple" in caught.value.remedy


def test_an_unknown_word_is_named_with_the_nearest_and_all_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        check_vocabulary(PromptSet("mine", ("a red circel",), "", ""), "shapes")
    assert "'circel'" in caught.value.cause and "did you mean 'circle'?" in caught.value.cause
    assert "circle, cross, cyan" in caught.value.remedy


def test_other_models_read_every_word() -> None:
    check_vocabulary(prompts.load("animals"), "sd15")

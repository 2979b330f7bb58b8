"""The tokenizer: every word of the captions is one token, and the prompt sets fit."""

import pytest

from benchbench.shapes.captions import complex_prompts, simple_prompts
from benchbench.shapes_build import tokenizer


def test_merges_of_a_tiny_corpus() -> None:
    """The words ab and abb: pieces (a, b/) and (a, b, b/). Pairs (a, b), (a, b/), (b, b/) come once each; the first
    by name is (a, b), which turns abb into (ab, b/). Then (a, b/) precedes (ab, b/).
    """
    end = tokenizer.END
    assert tokenizer.learn_merges(["ab", "abb"]) == [("a", "b"), ("a", "b" + end), ("ab", "b" + end)]


@pytest.fixture(scope="module")
def words():  # type: ignore[no-untyped-def]
    return tokenizer.make()


def test_every_word_is_one_token(words) -> None:  # type: ignore[no-untyped-def]
    """Start, word, end: three tokens, whose text is the word."""
    for word in tokenizer.words():
        ids = words(word).input_ids
        assert len(ids) == 3 and (ids[0], ids[2]) == (words.bos_token_id, words.eos_token_id)
        assert words.decode(ids[1:2]).strip() == word


def test_prompts_fit_without_truncation(words) -> None:  # type: ignore[no-untyped-def]
    """The longest has 14 words or fewer, and so stays within 20 tokens with its two marks."""
    prompts = simple_prompts() + complex_prompts()
    assert max(len(ids) for ids in words(prompts).input_ids) <= tokenizer.LENGTH
    assert tokenizer.encode(words, prompts[:3]).shape == (3, 20)


def test_unknown_words_fall_back_to_bytes(words) -> None:  # type: ignore[no-untyped-def]
    """No merge makes dog: d, o, and g at a word's end."""
    assert len(words("dog").input_ids) == 5


def test_saved_folder_reads_back_the_same(words, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """The folder's tokenizer gives the same ids."""
    from transformers import CLIPTokenizer

    tokenizer.save(tmp_path)
    prompts = complex_prompts()[:20]
    assert CLIPTokenizer.from_pretrained(tmp_path)(prompts).input_ids == words(prompts).input_ids

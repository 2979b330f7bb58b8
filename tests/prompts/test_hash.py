"""No two prompt sets have one hash, and sets without line breaks keep the hash that they always had."""

from hypothesis import given
from hypothesis import strategies as st

from benchbench import prompts
from benchbench.api import PromptSet
from benchbench.runtime.hashing import canonical, text_sha256

LINES = st.lists(st.text(alphabet='a\n",[]\\', max_size=4), max_size=4)


def of(*texts: str) -> str:
    return PromptSet("set", texts, "", "").hash


def test_line_breaks_separate_no_prompts() -> None:
    assert len({of("a", "b"), of("a\nb"), of("a\n", "b"), of("a", "\nb"), of(), of(""), of("", ""), of("\n")}) == 8
    odd = ("a\nb",)
    assert of(*odd) != of(canonical(list(odd))) and of(*odd) != of(*canonical(list(odd)).split("\n"))


def test_a_set_without_line_breaks_is_hashed_as_its_lines() -> None:
    """The digest of the two words with a line break between them."""
    assert of("cat", "dog") == text_sha256("cat\ndog")
    assert prompts.load("animals").hash == text_sha256("\n".join(prompts.load("animals").prompts))


@given(LINES, LINES)
def test_equal_hashes_mean_equal_sets(first: list[str], second: list[str]) -> None:
    assert (of(*first) == of(*second)) == (first == second)

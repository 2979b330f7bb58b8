"""A name is a function of what decides the content."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbench.runtime.hashing import GenerationKey, canonical, digest

KEY = GenerationKey("m", None, {"steps": 20, "eta": 1.0}, "fp32", "animals", "p", 0)


def test_canonical_json_by_hand() -> None:
    assert canonical({"b": [1, 2.5, None], "a": "é"}) == '{"a":"é","b":[1,2.5,null]}'
    with pytest.raises(ValueError, match="Out of range"):
        canonical(float("nan"))


def test_a_digest_never_changes_between_releases() -> None:
    """sha256 of the two characters {} begins with these digits."""
    assert digest({}) == "44136fa355b3678a"


@given(st.dictionaries(st.text(), st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()))
def test_the_order_of_keys_does_not_matter(value: dict[str, object]) -> None:
    assert digest(value) == digest(dict(reversed(value.items())))


@pytest.mark.parametrize(
    "change",
    [
        {"model_hash": "n"},
        {"adapter_hash": "a"},
        {"sampler": {"steps": 21, "eta": 1.0}},
        {"dtype": "bf16"},
        {"prompts_name": "other"},
        {"prompts_hash": "q"},
        {"eval_seed": 1},
    ],
)
def test_everything_that_decides_the_pixels_decides_the_name(change: dict[str, object]) -> None:
    assert replace(KEY, **change).id != KEY.id
    assert replace(KEY).id == KEY.id

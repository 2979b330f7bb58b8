"""Each wrong field of a reward server's answer is named, and no answer raises anything but Nonsense."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbench.rewards.http_answers import Nonsense, is_higher_better, read_info, read_scores
from tests.rewards.servers import INFO

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=6,
)


def test_what_is_stated_is_read() -> None:
    info = read_info({**INFO, "needs": ["tag"], "range": [0, 9.5], "licence": "MIT", "reads_prompt": False, "more": 1})
    assert (info.name, info.version, info.unit, info.needs, info.max_batch) == ("ruler", "1", "signs", ("tag",), 4)
    assert (info.range, info.licence, info.reads_prompt) == ((0.0, 9.5), "MIT", False)
    plain = read_info({**INFO, "range": None})
    assert plain.range == (-math.inf, math.inf) and plain.licence == "" and plain.reads_prompt
    assert is_higher_better(INFO) and not is_higher_better({"higher_is_better": False})
    assert read_scores({"version": "2", "scores": [1, 2.5]}, 2) == ("2", None, [1.0, 2.5])
    assert read_scores({"version": "2", "name": "ruler", "scores": []}, 0) == ("2", "ruler", [])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", None),
        ("name", ""),
        ("name", "ocr@http"),
        ("name", "../../etc"),
        ("name", "a,b=1"),
        ("name", "n" * 65),
        ("version", 1),
        ("version", " "),
        ("version", "1\n2"),
        ("version", "v" * 201),
        ("unit", None),
        ("unit", "\x1b[2J"),
        ("needs", None),
        ("needs", "tag"),
        ("needs", [1]),
        ("needs", [""]),
        ("max_batch", None),
        ("max_batch", 0),
        ("max_batch", True),
        ("max_batch", 2.0),
        ("max_batch", 10**9),
        ("range", [1, 0]),
        ("range", [0]),
        ("range", ["0", "1"]),
        ("range", [0, math.inf]),
        ("licence", 3),
        ("reads_prompt", "yes"),
    ],
)
def test_a_wrong_field_of_the_info_is_named(field: str, value: Any) -> None:
    with pytest.raises(Nonsense, match=field.split("_")[0]):
        read_info({**INFO, field: value})


@pytest.mark.parametrize("value", [None, 1, "true"])
def test_the_direction_must_be_stated(value: Any) -> None:
    with pytest.raises(Nonsense, match="higher_is_better"):
        is_higher_better({"higher_is_better": value} if value is not None else {})


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"version": "1"}, "scores is no list"),
        ({"version": "1", "scores": {"0": 1}}, "scores is no list"),
        ({"version": "1", "scores": [1]}, "1 scores for 2 images"),
        ({"version": "1", "scores": [1, 2, 3]}, "3 scores for 2 images"),
        ({"version": "1", "scores": [1, math.nan]}, "score 1 is nan"),
        ({"version": "1", "scores": [-math.inf, 1]}, "score 0 is -inf"),
        ({"version": "1", "scores": [1, 1e39]}, "score 1 is 1e"),
        ({"version": "1", "scores": [1, 10**400]}, "score 1 is 1000"),
        ({"version": "1", "scores": [1, "2"]}, "score 1 is '2'"),
        ({"version": "1", "scores": [True, 2]}, "score 0 is True"),
        ({"version": "1", "scores": [1, None]}, "score 1 is None"),
        ({"version": "1", "scores": [1, [2]]}, r"score 1 is \[2\]"),
        ({"scores": [1, 2]}, "version is None"),
        ({"version": 1, "scores": [1, 2]}, "version is 1"),
        ({"version": "1", "name": 3, "scores": [1, 2]}, "name is 3"),
    ],
)
def test_wrong_scores_are_named(answer: dict[str, Any], said: str) -> None:
    with pytest.raises(Nonsense, match=said):
        read_scores(answer, 2)


def test_fractions_lie_between_0_and_1() -> None:
    for scores in ([0, 1.01], [-0.01, 1]):
        assert read_scores({"version": "1", "scores": scores}, 2)[2] == scores
        with pytest.raises(Nonsense, match="outside 0 to 1"):
            read_scores({"version": "1", "scores": scores}, 2, fractions=True)
    assert read_scores({"version": "1", "scores": [0, 1]}, 2, fractions=True)[2] == [0.0, 1.0]


@given(st.dictionaries(st.sampled_from([*INFO, "range", "licence", "scores"]), JSON))
def test_no_answer_raises_anything_else(answer: dict[str, Any]) -> None:
    for read in (read_info, is_higher_better, lambda a: read_scores(a, 2)):
        with suppress(Nonsense):
            read({**INFO, **answer})

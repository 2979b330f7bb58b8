"""Differences are taken prompt by prompt, and only between rows that were sampled alike."""

from math import atan, pi

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbench.errors import UsageError
from benchbench.stats.paired import difference


def frame(scores: list[list[float]], seed: int = 0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "prompt_index": p,
            "prompt": f"p{p}",
            "sample": i,
            "eval_seed": 0,
            "version": "1",
            "score": s,
            "train_seed": seed,
        }
        for p, images in enumerate(scores)
        for i, s in enumerate(images)
    )


BASE = frame([[0, 2], [10, 12]])


def test_by_hand() -> None:
    """Differences of the prompts' means 2 - 1 and 14 - 11: 1 and 3, mean 2, standard error 1, t(1) = 12.7062.

    The base's images 0, 2, 10, 12 have variance (36+16+16+36)/3 = 34.667, deviation 5.8878: the gain is 0.33968.
    """
    found = difference(frame([[2, 2], [13, 15]]), BASE)
    assert (found.raw.value, found.raw.images, found.raw.prompts) == (2, 4, 2)
    assert (found.raw.low, found.raw.high) == (pytest.approx(2 - 12.7062), pytest.approx(2 + 12.7062))
    assert found.gain is not None and found.gain.value == pytest.approx(0.33968, abs=1e-5)
    assert found.gain.high == pytest.approx((2 + 12.7062) / 5.8878, abs=1e-3)
    # t = 2 with one degree of freedom: p = 1 - 2 atan(2) / pi
    assert found.p == pytest.approx(1 - 2 * atan(2) / pi)


def _trained(rows: dict[int, list[list[float]]]) -> pd.DataFrame:
    return pd.concat([frame(scores, seed) for seed, scores in rows.items()])


def test_two_trained_rows_are_paired_by_seed() -> None:
    """Seed 0 is good in both rows and seed 1 bad in both: their difference is 1 in every cell, without any variance."""
    ours, theirs = _trained({0: [[9], [11]], 1: [[1], [3]]}), _trained({0: [[8], [10]], 1: [[0], [2]]})
    found = difference(ours, theirs)
    assert found.cells.means.tolist() == [[1, 1], [1, 1]] and found.p == 0.0 and found.dropped == ()


def test_a_seed_that_one_row_lacks_is_dropped() -> None:
    ours, theirs = _trained({0: [[1], [1]], 1: [[2], [2]], 7: [[90], [9]]}), _trained({0: [[0], [0]], 1: [[0], [0]]})
    found = difference(ours, theirs)
    assert (found.raw.seeds, found.raw.value, found.dropped) == (2, 1.5, (7,))
    assert difference(theirs, ours).raw.value == -1.5


def test_rows_without_a_common_seed_are_refused() -> None:
    with pytest.raises(UsageError, match="cannot be paired"):
        difference(_trained({0: [[1], [2]]}), _trained({1: [[1], [2]]}), by_seed=True)


def test_a_base_without_trainings_serves_every_training() -> None:
    found = difference(_trained({3: [[1], [1]], 4: [[2], [2]]}), frame([[0], [0]]))
    assert (found.raw.seeds, found.raw.value) == (2, 1.5)


def test_what_prompts_share_cancels() -> None:
    easy_and_hard = np.random.default_rng(0).normal(0, 100, 45)
    base, better = frame([[v] for v in easy_and_hard]), frame([[v + 1] for v in easy_and_hard])
    found = difference(better, base).raw
    assert found.low is not None and 0.99 < found.low <= found.value <= 1.01


def test_several_trainings_share_one_base() -> None:
    both = pd.concat([frame([[1, 3], [11, 13]], 0), frame([[3, 5], [13, 15]], 1)])
    found = difference(both, BASE).raw
    assert (found.value, found.seeds, found.images) == (2, 2, 8)


def test_a_base_that_does_not_vary_gives_no_gain() -> None:
    assert difference(frame([[2], [3]]), frame([[1], [1]])).gain is None


@pytest.mark.parametrize(
    "other",
    [
        frame([[0, 2]]),
        frame([[0, 2], [10, 12, 14]]),
        frame([[0, 2], [10, 12]]).assign(version="2"),
        frame([[0, 2], [10, 12]]).assign(eval_seed=1),
        frame([[0, 2], [10, 12]]).assign(prompt="another"),
    ],
)
def test_rows_that_were_not_sampled_alike_are_refused(other: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="cannot be compared"):
        difference(other, BASE)


@settings(max_examples=30)
@given(st.lists(st.floats(-10, 10), min_size=2, max_size=20))
def test_nothing_differs_from_itself(values: list[float]) -> None:
    rows = frame([[v] for v in values])
    found = difference(rows, rows).raw
    assert (found.value, found.low, found.high) == (0, 0, 0)
    assert difference(rows, rows).p == 1

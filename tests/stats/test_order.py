"""How often an order of rows holds over resamples of prompts and trainings."""

from __future__ import annotations

import pandas as pd
import pytest

from benchbench.stats.order import order_frequencies


def frame(scores: dict[int, float], seed: int = 0) -> pd.DataFrame:
    return pd.DataFrame({"prompt_index": list(scores), "score": list(scores.values()), "train_seed": seed})


def test_rows_that_differ_alike_on_every_prompt_never_change_places() -> None:
    low = frame({0: 1.0, 1: 5.0, 2: 9.0})
    high = low.assign(score=low.score + 0.1)
    assert order_frequencies({"a": high, "b": low}, [["a", "b"], ["b", "a"]]) == [1.0, 0.0]


def test_two_prompts_that_disagree() -> None:
    """a leads by 3 on prompt 0 and trails by 1 on prompt 1. Of two draws, both are prompt 1 with probability 1/4: only
    then b leads; a leads in the other 3/4. 2000 resamples: a standard error of 0.0097, five of which are allowed.
    """
    frames = {"a": frame({0: 3.0, 1: 0.0}), "b": frame({0: 0.0, 1: 1.0})}
    ours, theirs = order_frequencies(frames, [["a", "b"], ["b", "a"]])
    assert ours == pytest.approx(0.75, abs=0.049) and ours + theirs == 1.0


def test_trainings_are_drawn_for_each_row() -> None:
    """One prompt; a's two trainings score 0 and 2, b's one scores 1.5. a leads only where both draws are its better
    training: 1/4 (means 0, 1 or 2).
    """
    a = pd.concat([frame({0: 0.0}, 0), frame({0: 2.0}, 1)])
    assert order_frequencies({"a": a, "b": frame({0: 1.5})}, [["a", "b"]])[0] == pytest.approx(0.25, abs=0.049)


def test_only_common_prompts_count() -> None:
    """On their one common prompt a leads; prompt 7 of b alone says nothing."""
    assert order_frequencies({"a": frame({0: 2.0}), "b": frame({0: 1.0, 7: 50.0})}, [["a", "b"]]) == [1.0]
    with pytest.raises(ValueError, match="no prompt in common"):
        order_frequencies({"a": frame({0: 2.0}), "b": frame({7: 1.0})}, [["a", "b"]])

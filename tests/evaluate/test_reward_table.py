"""The reward table: cells, differences, captions."""

import re
from typing import Any

import pandas as pd
import pytest

from benchbench.evaluate.conditions import EvalConditions
from benchbench.evaluate.reward_table import reward_table

SETTINGS: dict[str, Any] = {
    "name": "reward-table",
    "model": "shapes",
    "model_hash": "m",
    "sampler": {"steps": 20, "eta": 1.0},
    "dtype": "fp32",
    "prompts": "simple",
    "prompts_hash": "p",
    "prompt_count": 12,
    "images_per_prompt": 2,
    "eval_seeds": (0, 1),
    "rewards": {"colour": "1"},
}
PROTOCOL = EvalConditions(**SETTINGS)


def frame(lift: float, reward: str = "colour", seed: int = 0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "prompt_index": p, "prompt": f"p{p}", "sample": s, "eval_seed": e, "reward": reward, "version": "1",
            "unit": "points", "score": p + 0.1 * s + lift * (1 + p % 2), "image_sha256": "", "train_seed": seed,
        }
        for p in range(12) for s in range(2) for e in range(2)
    )  # fmt: skip


def test_cells_and_differences() -> None:
    """Scores are p + 0.1 s: mean 5.55. A lift of 1 adds 1 to even prompts and 2 to odd ones: 1.5."""
    table = reward_table({"base": frame(0), "ours": frame(1)}, PROTOCOL, published={("ours", "colour"): 6.66})
    base, ours = table.cells["base"]["colour"], table.cells["ours"]["colour"]
    assert (base.value, base.images, base.prompts) == (pytest.approx(5.55), 48, 12)
    assert (base.difference, base.gain, base.published) == (None, None, None)
    assert ours.value == pytest.approx(7.05) and ours.difference == pytest.approx(1.5) and ours.published == 6.66
    assert ours.difference_low is not None and ours.difference_high is not None
    assert 1 < ours.difference_low < 1.5 < ours.difference_high < 2
    assert ours.gain == pytest.approx(1.5 / frame(0).score.std())
    assert table.best("colour") is None and table.ahead == {}  # one training is no test


def trained(lift: float, seeds: int = 5) -> pd.DataFrame:
    """Trainings that lift every score by about as much."""
    return pd.concat([frame(lift + 0.01 * seed, seed=seed) for seed in range(seeds)])


def test_differences_are_judged_together() -> None:
    """The row that equals the base has p = 1; Holm's correction doubles the other's p."""
    table = reward_table(
        {"base": frame(0), "up": trained(1), "same": trained(0).assign(score=frame(0).score)}, PROTOCOL
    )
    up, same = table.cells["up"]["colour"], table.cells["same"]["colour"]
    assert up.p is not None and up.p < 0.01
    assert (up.p_holm, up.significant) == (pytest.approx(2 * up.p), True)
    assert (same.p, same.p_holm, same.significant) == (1, 1, False)
    assert table.cells["base"]["colour"].p is None
    assert "Holm's correction for the 2 different tests of a family" in table.caption
    assert table.ahead == {"colour": (("up", "base"), ("up", "same"))} and table.best("colour") == "up"


def test_bold_takes_a_test_against_every_row() -> None:
    """Two rows with the same scores, or one of too few trainings, leave none ahead of all others."""
    tied = reward_table({"base": frame(0), "one": trained(1), "two": trained(1)}, PROTOCOL)
    assert tied.ahead == {"colour": (("one", "base"), ("two", "base"))} and tied.best("colour") is None
    few = reward_table({"base": frame(0), "one": trained(1), "two": trained(2, seeds=4)}, PROTOCOL)
    assert few.ahead == {} and few.best("colour") is None
    other_seeds = trained(2).assign(train_seed=lambda rows: rows.train_seed + 10)
    unpaired = reward_table({"base": frame(0), "one": trained(1), "two": other_seeds}, PROTOCOL)
    assert unpaired.ahead == {} and unpaired.cells["two"]["colour"].significant


def test_columns_that_were_trained_on_come_first() -> None:
    rows = {"ours": pd.concat([frame(1, "oracle"), frame(1, "colour")])}
    table = reward_table(rows, PROTOCOL, held_out=frozenset({"oracle"}))
    assert [(c.key, c.better) for c in table.columns] == [("colour", "higher"), ("oracle", "higher")]


def test_held_out_rewards_are_a_family_of_their_own() -> None:
    rows = {
        "base": pd.concat([frame(0), frame(0, "oracle")]),
        "ours": pd.concat([trained(1), trained(0.5).assign(reward="oracle")]),
    }
    table = reward_table(rows, PROTOCOL, held_out=frozenset({"oracle"}))
    for reward in ("colour", "oracle"):
        cell = table.cells["ours"][reward]
        assert cell.p_holm == cell.p and cell.significant
    assert "Holm" not in table.caption


def test_one_training_describes_its_run() -> None:
    table = reward_table({"base": frame(0), "ours": frame(1)}, PROTOCOL)
    cell = table.cells["ours"]["colour"]
    assert cell.p is not None and cell.significant is None and cell.trainings_needed is None
    assert "One training: describes this run" in table.caption and "*:" not in table.caption


def test_three_trainings_say_how_many_it_takes() -> None:
    noisy = pd.concat([frame(lift, seed=seed) for seed, lift in enumerate((0.0, 1.0, 2.0))])
    table = reward_table({"base": frame(0), "ours": noisy}, PROTOCOL)
    cell = table.cells["ours"]["colour"]
    assert cell.significant is None and cell.trainings_needed is not None
    assert "3 trainings: describes these runs" in table.caption
    assert re.search(r"it takes about \d+ trainings on colour", table.caption)


def test_a_row_may_lack_a_reward() -> None:
    table = reward_table({"base": frame(0), "ours": frame(1, "other")}, PROTOCOL)
    assert table.get("ours", "colour") is None and table.get("base", "other") is None
    assert [c.key for c in table.columns] == ["colour", "other"]


def test_the_caption_says_what_was_compared() -> None:
    caption = reward_table({"base": frame(0), "ours": frame(1)}, PROTOCOL).caption
    for words in ("steps 20", "12 prompts of simple", "2 images each", "seeds 0, 1", "version 1, in points",
                  "95% interval of the mean over prompts", "difference to base", PROTOCOL.digest):  # fmt: skip
        assert words in caption


def test_several_trainings_are_one_row() -> None:
    rows = {"base": frame(0), "ours": pd.concat([frame(1, seed=0), frame(2, seed=1)])}
    table = reward_table(rows, PROTOCOL)
    assert table.cells["ours"]["colour"].seeds == 2
    assert "over prompts and up to 2 trainings of a row" in table.caption
    assert "2 trainings: describes these runs" in table.caption


def test_an_interval_of_fractions_stays_between_none_and_all() -> None:
    """Two trainings, of which one has every score 1 and the other 0.5: Student's t with one degree of freedom would
    reach from 0.75 far beyond 1; of a share it ends there.
    """

    def right(score: float, seed: int) -> pd.DataFrame:
        return frame(0, seed=seed).assign(score=score, unit="fraction of stated attributes")

    table = reward_table({"ours": pd.concat([right(1.0, 0), right(0.5, 1)])}, PROTOCOL, base=None)
    found = table.cells["ours"]["colour"]
    assert found.value == 0.75 and found.low is not None and found.high is not None
    assert 0 <= found.low < 0.75 < found.high <= 1
    assert "Intervals of fractions are Wilson's for clustered samples" in table.caption


def test_quick_is_in_caption_and_file_name() -> None:
    table = reward_table({"base": frame(0)}, PROTOCOL, quick=True)
    assert table.full_caption.startswith("QUICK") and table.stem == "rewards-QUICK"


def test_the_digest_is_of_what_matters() -> None:
    assert EvalConditions(**{**SETTINGS, "model": "a copy of it"}).digest == PROTOCOL.digest
    for key, value in {"model_hash": "n", "dtype": "bf16", "eval_seeds": (0,), "rewards": {"colour": "2"}}.items():
        assert EvalConditions(**{**SETTINGS, key: value}).digest != PROTOCOL.digest

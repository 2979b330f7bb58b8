"""The search of `bench tune`: equal work, checkpoints, the rule of choice, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from benchbench.errors import UsageError
from benchbench.reproduce.kept import kept_at
from benchbench.stats.intervals import Interval
from benchbench.tune.outcome import Outcome, Point, Values, choose, outcome
from benchbench.tune.plan import make_plan, row_name
from benchbench.tune.search import Search, make_search, read
from benchbench.tune.sentences import answer, budget_sentence, notes, remarks, rule

REWARD, ORACLE = "shapes-colour", "shapes-oracle"


def search(method: str = "ddpo", model: str = "shapes", reward: str = REWARD, **options: object) -> Search:
    return make_search(method, model, reward, **options)  # type: ignore[arg-type]


def test_the_images_of_pairs_count_where_that_is_asked() -> None:
    """A search that does not ask has the name that it always had."""
    pairs = "made:shapes-simple:shapes-colour:8"
    one, other = (search("sft", pairs=pairs, count_pairs=count) for count in (False, True))
    assert (one.budget.samples, other.budget.samples) == (10_821, 4_276)
    assert "pairs_nfe" not in one.budget.model_dump() and other.budget.pairs_nfe == 7_200
    assert "the making of its pairs is not counted" in budget_sentence(one)
    assert "the images of its pairs cost 7,200" in budget_sentence(other)


@pytest.mark.parametrize(("method", "cost", "samples"), [("ddpo", 31, 384), ("d3po", 36, 330), ("tailorpo", 41, 290)])
def test_every_method_has_the_work_of_384_ddpo_images(method: str, cost: float, samples: int) -> None:
    """DDPO: 20 steps and 5 gradients of 2.2 are 31, in all 11,904; D3PO adds 5 of the reference, TailorPO 5 more.

    11,904 / 36 = 330.7, of which D3PO takes pairs; 11,904 / 41 = 290.3.
    """
    budget = search(method).budget
    assert (budget.nfe, budget.nfe_per_image, budget.samples) == (11_904, cost, samples)


def test_a_training_keeps_eight_adapters_the_last_at_its_end() -> None:
    """330 // 8 = 41; a rollout has 16 images, so that 41, 82, 123, ... are passed at these ends."""
    config, words = search("d3po").training(1e-3, 100)
    assert list(kept_at(config)) == [48, 96, 128, 176, 208, 256, 288, 330]
    assert words == ("train.lr=0.001", "train.keep_every=41", "train.eval_every=0")
    for method in ("ddpo", "tailorpo", "tailorpo-g", "dspo"):
        config, _ = search(method).training(1e-3, 100)
        assert len(list(kept_at(config))) == 8


def test_the_plan_has_a_training_for_each_rate_and_seed(tmp_path: Path) -> None:
    """Five rates, two seeds, eight checkpoints: 10 trainings, and 40 measured rows besides the base model."""
    plan = make_plan(search(), tmp_path)
    assert len({t.out for t in plan.trainings}) == 10 and len(plan.measurements) == 41
    assert {m.prompts for m in plan.measurements} == {"shapes-complex.validation"}
    assert len({m.job for m in plan.measurements}) == 6


def test_an_offline_method_and_another_model_are_planned() -> None:
    offline = search("dspo")
    assert offline.pairs == "made:shapes-simple:shapes-pref:32"
    sd15 = search("ddpo", "sd15", "aesthetic")
    assert (sd15.guard, sd15.validation, sd15.preset) == (None, "activities", "released")
    said = " ".join(notes(sd15))
    assert "nothing guards the choice" in said and "among those" not in rule(sd15)
    assert "train.lr=3e-05, which lies outside the rates" in said and list(notes(search())) == []
    assert search("ddpo", "sd15", "aesthetic", guard="pickscore").guard == "pickscore"


def point(rate: float, samples: int, reward: float, loss: float | None) -> Point:
    interval = Interval(reward, None, None, 4, 2, 2)
    return Point(rate, samples, Values(interval, interval, None, loss, 1.0, 1.0), {})


def test_the_choice_is_the_most_reward_that_keeps_the_guard() -> None:
    points = [point(1e-3, 48, 3.0, 0.01), point(2e-3, 48, 5.0, 0.05), point(2e-3, 96, 9.0, 0.051)]
    assert choose(points, 0.05) == points[1]
    assert choose(points[2:], 0.05) is None
    without_guard = [point(1e-3, 48, 3.0, None), point(2e-3, 96, 9.0, None)]
    assert choose(without_guard, 0.05) == without_guard[1]
    equals = [point(1e-3, 48, 3.0, 0.0), point(2e-3, 48, 3.0, 0.0)]
    assert choose(equals, 0.05) == equals[0]


def frame(scores: dict[str, Sequence[float]], seeds: Sequence[int]) -> pd.DataFrame:
    """Score rows of two prompts with one image each, the same for each seed."""
    rows = [
        {"reward": reward, "train_seed": seed, "prompt_index": i, "prompt": f"p{i}", "sample": 0, "eval_seed": 0}
        | {"version": "1", "unit": "x", "score": score}
        for reward, values in scores.items()
        for seed in seeds
        for i, score in enumerate(values)
    ]
    return pd.DataFrame(rows)


def found(tuned: Search, oracle: float, store: Path, drop: str = "") -> Outcome:
    """The outcome where the reward rises with rate and images, and the oracle is this value everywhere."""
    plan, frames = make_plan(tuned, store), {"base": frame({REWARD: (1, 3), ORACLE: (0.8, 1.0)}, [0])}
    for n, measurement in enumerate(plan.measurements[1:], start=1):
        frames[measurement.row] = frame({REWARD: (1 + n, 3 + n), ORACLE: (oracle, oracle)}, tuned.seeds)
    return outcome(tuned, plan, {name: rows for name, rows in frames.items() if name != drop})


def test_gains_and_falls_are_from_the_base_model(tmp_path: Path) -> None:
    """The base has a mean of 2 and an oracle of 0.9: the last of five checkpoints gains 5, its oracle falls by 0.04."""
    tuned = search(rates=[1e-3], seeds=[100, 101], budget=80)
    result = found(tuned, 0.86, tmp_path)
    chosen = result.chosen
    assert chosen is not None
    assert (chosen.rate, chosen.samples) == (1e-3, 80)
    assert chosen.values.gain.value == pytest.approx(5) and chosen.values.loss == pytest.approx(0.04)
    assert set(chosen.by_seed) == {100, 101}
    assert "(+5.00)" in answer(tuned, result) and "fell by 0.040" in answer(tuned, result)


def test_no_choice_says_where_the_guard_fell_least(tmp_path: Path) -> None:
    tuned = search(rates=[1e-3], budget=80)
    result = found(tuned, 0.5, tmp_path)
    assert result.chosen is None
    assert "nothing was chosen" in answer(tuned, result) and "fell by 0.400" in answer(tuned, result)


def test_a_rate_that_failed_is_no_candidate_and_the_end_of_the_grid_is_told(tmp_path: Path) -> None:
    tuned = search(rates=[1e-3, 2e-3], budget=80)
    result = found(tuned, 0.9, tmp_path, drop=row_name(2e-3, 80))
    assert result.failed == (2e-3,) and result.chosen and result.chosen.rate == 1e-3
    lines = list(remarks(tuned, result))
    assert "lowest rate" in lines[0] and "lr 0.002 is no candidate" in lines[1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"validation": "shapes-simple"}, "neither training nor test"),
        ({"validation": "shapes-complex.test"}, "neither training nor test"),
        ({"guard": REWARD}, "cannot guard itself"),
        ({"reward": ORACLE}, "never trained on"),
        ({"method": "spo"}, "step-aware"),
        ({"budget": 1, "method": "spo", "reward": "shapes-spm"}, "budget is too small"),
        ({"rates": [1e-3, 1e-3]}, "comes twice"),
        ({"method": "dddpo"}, "did you mean ddpo"),
        ({"pairs": "pickapic_v2"}, "reads no pairs"),
    ],
)
def test_what_cannot_be_searched_is_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as error:
        search(**options)  # type: ignore[arg-type]
    assert said in str(error.value)


def test_a_search_is_read_again_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "x.tune.yaml"
    with pytest.raises(UsageError, match="cannot be read"):
        read(file)
    file.write_text("method: [")
    with pytest.raises(UsageError, match="cannot be read"):
        read(file)

"""Orders that a table states beforehand: they are read from its file, and tested as one family."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchbench.errors import UsageError
from benchbench.evaluate.reward_table import reward_table
from benchbench.reproduce import spec, sweep
from benchbench.reproduce.claims import claims_table
from benchbench.reproduce.spec import Claim, Row
from benchbench.stats.multiple import holm
from benchbench.stats.paired import difference
from tests.evaluate.test_reward_table import PROTOCOL
from tests.reproduce.test_tables import make
from tests.stats.test_paired import frame

REWARDS = ("shapes-colour", "shapes-pref")
MEANS = {"base": 0.0, "ddpo": 0.3, "d3po": 0.35, "spo": 0.4, "tailorpo": 0.8, "tailorpo-g": 1.2}


def scores(row: str, reward: str, trainings: int) -> pd.DataFrame:
    """Returns drawn scores of a row; the base has no trainings."""
    rng = np.random.default_rng([ord(letter) for letter in row + reward])
    parts = [
        frame((MEANS[row] + 0.1 * rng.normal() + rng.normal(size=(20, 3))).tolist(), seed).assign(
            reward=reward, unit="u"
        )
        for seed in range(1 if row == "base" else trainings)
    ]
    return pd.concat(parts, ignore_index=True)


def frames(trainings: int) -> dict[str, pd.DataFrame]:
    return {row: pd.concat([scores(row, reward, trainings) for reward in REWARDS]) for row in MEANS}


def test_each_order_is_tested_and_all_are_one_family(tmp_path: Path) -> None:
    plan, found = make("tailorpo:2", "shapes", tmp_path), frames(5)
    table = claims_table(plan, reward_table(found, PROTOCOL), found)
    assert table is not None
    assert table.rows == ("tailorpo > ddpo", "tailorpo > d3po", "tailorpo > spo", "tailorpo-g > tailorpo")
    assert [column.key for column in table.columns] == list(REWARDS)
    pairs = [(claim.better, claim.worse, reward) for claim in plan.spec.claims for reward in REWARDS]
    alone = [
        difference(found[a][found[a].reward == r], found[b][found[b].reward == r], by_seed=True) for a, b, r in pairs
    ]
    adjusted = holm([one.p for one in alone])
    base = found["base"]
    for (better, worse, reward), one, p_holm in zip(pairs, alone, adjusted, strict=True):
        cell = table.get(f"{better} > {worse}", reward)
        assert cell is not None
        assert (cell.value, cell.p, cell.p_holm) == pytest.approx((one.raw.value, one.p, p_holm))
        assert cell.gain == pytest.approx(one.raw.value / base[base.reward == reward].score.std(ddof=1))
        assert cell.significant == (p_holm < 0.05)
    assert "Holm's correction for the 8 stated ones" in table.caption


def test_fewer_than_five_trainings_say_nothing(tmp_path: Path) -> None:
    plan, found = make("tailorpo:2", "shapes", tmp_path), frames(4)
    assert claims_table(plan, reward_table(found, PROTOCOL), found) is None


def test_a_row_without_trainings_serves_every_training_of_the_other(tmp_path: Path) -> None:
    """The best of four images of the base model has no training seeds that could be paired."""
    plan, found = make("tailorpo:2", "shapes", tmp_path), frames(5)
    found["best-of-4"] = found["base"].assign(score=found["base"].score + 0.5)
    claims = [Claim(better="tailorpo", worse="best-of-4"), Claim(better="best-of-4", worse="tailorpo")]
    rows = plan.spec.rows | {"best-of-4": Row(best_of=4)}
    plan = replace(plan, spec=plan.spec.model_copy(update={"rows": rows, "claims": claims}))
    table = claims_table(plan, reward_table(found, PROTOCOL, untrained=frozenset({"best-of-4"})), found)
    assert table is not None
    there, back = (table.get(str(claim), "shapes-colour") for claim in claims)
    assert there is not None and back is not None and there.seeds == back.seeds == 5
    one, other = (found[row][found[row].reward == "shapes-colour"] for row in ("tailorpo", "best-of-4"))
    alone = difference(one, other)
    assert (there.value, there.low, there.high) == pytest.approx((alone.raw.value, alone.raw.low, alone.raw.high))
    assert (back.value, back.low, back.high) == pytest.approx((-there.value, -there.high, -there.low))  # type: ignore[operator]
    assert there.p == back.p == alone.p


def test_held_out_rewards_and_absent_rows_are_left_out(tmp_path: Path) -> None:
    plan, found = make("tailorpo:2", "shapes", tmp_path), frames(5)
    del found["spo"]
    table = claims_table(plan, reward_table(found, PROTOCOL, held_out=frozenset({"shapes-pref"})), found)
    assert table is not None
    assert "tailorpo > spo" not in table.rows and [column.key for column in table.columns] == ["shapes-colour"]


def test_every_table_states_orders_of_its_rows() -> None:
    stated = {name: spec.load(name).claims for name in spec.names()}
    assert sum(map(len, stated.values())) >= 40
    for name, claims in stated.items():
        assert len(set(map(str, claims))) == len(claims), name


def test_a_wrong_order_is_refused() -> None:
    for text in ("tailorpo", "a > a", "a > b > c", " > a"):
        with pytest.raises(ValueError, match="is not an order of two rows"):
            Claim.model_validate(text)
    table = spec.load("dspo:5").model_dump() | {"claims": ["dspo > nobody"]}
    with pytest.raises(ValueError, match="claims name unknown rows: nobody"):
        spec.Spec.model_validate(table)


def test_a_sweep_states_orders_of_its_rows(tmp_path: Path) -> None:
    text = "model: shapes\nmethods: [tailorpo, d3po]\nrewards: [shapes-colour]\nprompts: {shapes-simple: 1}\n"
    file = tmp_path / "s.yaml"
    file.write_text(f"{text}claims: [tailorpo > d3po, d3po > base]\n", encoding="utf-8")
    assert list(map(str, sweep.load(file).spec.claims)) == ["tailorpo > d3po", "d3po > base"]
    file.write_text(f"{text}claims: [tailorpo > d3poo]\n", encoding="utf-8")
    with pytest.raises(UsageError) as error:
        sweep.load(file)
    assert "line 5, claims, item 1: 'tailorpo > d3poo' is no order of two rows" in error.value.cause

"""A leaderboard of reports whose scores are drawn, so that it is known who is ahead of whom."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchbench.cli.main import main
from benchbench.evaluate.reward_table import reward_table
from benchbench.report import folder
from benchbench.report.scores_file import write_scores
from benchbench.report.sections import Page, RecordSection, TableSection
from benchbench.report.table import Cell, Column, Table
from benchbench.reproduce.leaderboard import CALLS, GAIN, NFE, F, table
from benchbench.reproduce.ranked import ONCE, read_report
from benchbench.reproduce.standing import sentences
from benchbench.reproduce.stated_family import stated_family
from benchbench.stats.paired import difference
from tests.evaluate.test_reward_table import PROTOCOL
from tests.stats.test_paired import frame

REWARD, ORACLE, OTHER = "shapes-colour", "shapes-oracle", "shapes-clip"
GAINS = {"ddpo": 0.5, "tailorpo": 1.5, "tailorpo-g": 1.6, "best-of-4": 1.0}
CALLS_OF = {"ddpo": 384, "tailorpo": 2900, "tailorpo-g": 3120}
PROMPTS = 40


def scores(gain: float, trainings: int) -> pd.DataFrame:
    """Returns scores of one image a prompt: those of the base are drawn, and a gain is in its deviations, nearly."""
    base = np.random.default_rng(0).normal(size=PROMPTS)
    parts = []
    for seed in range(trainings):
        shifted = base + gain + (0.1 * np.random.default_rng([seed, int(100 * gain)]).normal() if trainings > 1 else 0)
        for reward, unit, values in (
            (REWARD, "points", shifted),
            (OTHER, "points", base),
            (ORACLE, "fraction of stated attributes", np.full(PROMPTS, 0.9)),
        ):
            drawn = frame([[value] for value in values], seed).assign(reward=reward, unit=unit, prompt="a red circle")
            parts.append(drawn)
    return pd.concat(parts, ignore_index=True)


def report(
    store: Path,
    trainings: int = 5,
    methods: tuple[str, ...] = ("ddpo", "tailorpo", "tailorpo-g"),
    pairs: str | None = None,
) -> Path:
    """Writes a report like that of a sweep with ``stop`` and ``best_of``."""
    rows = [*methods, "best-of-4"]
    frames = {"base": scores(0, 1)} | {row: scores(GAINS[row], 1 if row == "best-of-4" else trainings) for row in rows}
    held_out, tables, kept = frozenset({ORACLE, OTHER}), [], {}
    for suffix in ("", ONCE):
        made = reward_table(
            frames, PROTOCOL, name=f"s-held-out{suffix}", held_out=held_out, untrained=frozenset({"best-of-4"})
        )
        tables.append(made)
        kept[made.stem] = frames
    records = {
        f"{method}-{seed}": {
            "config": {
                "method": method,
                "model": "shapes",
                "seed": seed,
                "settings": {},
                "train": {"lr": 1e-3},
                "pairs": pairs,
            },
            "done": {"nfe": 16404.0, "eval_forwards": 9000, "reward_calls": CALLS_OF[method]},
        }
        for method in methods
        for seed in range(trainings)
    }
    sections = (TableSection(title="t", tables=tuple(tables)), RecordSection(records={"this table": {}, **records}))
    out = folder.write(store, "s", Page(title="s", intro="", sections=sections))
    write_scores(out, kept)
    return out


def test_rows_are_in_order_with_their_ties_and_costs(tmp_path: Path) -> None:
    ranked = read_report(report(tmp_path))
    assert ranked.reward == REWARD
    made = table(ranked)
    assert made.rows == ("tailorpo-g", "tailorpo", "best-of-4", "ddpo")
    ties = made.ties(F)
    assert set(ties["tailorpo-g"]) & set(ties["tailorpo"]) and not set(ties["tailorpo"]) & set(ties["ddpo"])
    frames = {row: ranked.scores[ranked.scores.row == row] for row in made.rows} | {
        "base": ranked.scores[ranked.scores.row == "base"]
    }
    of_reward = {
        row: part[(part.reward == REWARD) & (part.table == ranked.frontier.stem)] for row, part in frames.items()
    }
    gain = difference(of_reward["ddpo"], of_reward["base"]).gain
    cell: Any = made.get("ddpo", F)
    assert gain is not None and (cell.value, cell.low, cell.high) == (gain.value, gain.low, gain.high)
    minus: Any = made.get("ddpo", "minus best-of-4")
    best: Any = made.get("best-of-4", F)
    assert minus.value == pytest.approx(cell.value - best.value) and made.get("best-of-4", "minus best-of-4") is None
    assert made.get("ddpo", CALLS) and made.get("ddpo", CALLS).value == 384  # type: ignore[union-attr]
    assert made.get("ddpo", NFE).value == 11904  # type: ignore[union-attr]
    assert made.get("best-of-4", NFE) is None and made.get("ddpo", GAIN).value == cell.value  # type: ignore[union-attr]
    oracle: Any = made.get("ddpo", ORACLE)
    chance = (1 / 8 + 1 / 6) / 2
    assert oracle.value == pytest.approx((0.9 - chance) / (1 - chance))
    assert made.get("ddpo", OTHER).value == 0  # type: ignore[union-attr]
    assert "Need the reward's gradient: tailorpo-g." in made.caption and "ddpo 0.001 (5)" in made.caption


def test_sentences_say_what_the_tests_do(tmp_path: Path) -> None:
    first, best_of, calls, gradient, last = sentences(read_report(report(tmp_path)))
    assert first.startswith("On shapes-colour: tailorpo-g has the highest F(.2)") and "from tailorpo." in first
    assert "for ddpo." in best_of and calls.startswith("With the fewest reward calls (384 a training): ddpo")
    assert gradient.startswith("Where the reward has no gradient: tailorpo has") and "oracle" in last


def test_pairs_that_were_made_for_a_training_are_a_part_of_its_work(tmp_path: Path) -> None:
    """Eight images of each of the 45 prompts in 20 steps are 7,200 guided evaluations and 360 calls of the reward."""
    ranked = read_report(report(tmp_path, pairs="made:shapes-simple:shapes-colour:8"))
    assert ranked.work("ddpo") == (11_904 + 7_200, 384 + 360)
    assert table(ranked).get("ddpo", NFE).value == 19_104  # type: ignore[union-attr]
    assert "(744 a training)" in sentences(ranked)[2]


def test_pairs_whose_prompts_are_absent_leave_the_work_unknown(tmp_path: Path) -> None:
    """The report may be of another machine; pairs that were given cost nothing, wherever they lie."""
    absent = read_report(report(tmp_path / "a", pairs="made:nowhere.txt:shapes-colour:8"))
    assert absent.work("ddpo") is None and table(absent).get("ddpo", NFE) is None
    assert not any("reward calls" in sentence for sentence in sentences(absent))
    given = read_report(report(tmp_path / "b", pairs="/home/other/pairs"))
    assert given.work("ddpo") == (11_904, 384) and given.work("best-of-4") is None


def test_two_reports_of_one_reward_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = (str(report(tmp_path / name)) for name in ("a", "b"))
    assert main(["leaderboard", one, other, "--store", str(tmp_path)]) == 2
    assert f"two reports are of {REWARD}" in capsys.readouterr().err


def test_three_trainings_describe_themselves(tmp_path: Path) -> None:
    ranked = read_report(report(tmp_path, trainings=3))
    assert "a verdict takes 5 trainings" in sentences(ranked)[0] and not table(ranked).ties(F)


def stated(reward: str, *p_values: float) -> Table:
    cells = {
        f"tailorpo > {i}": {reward: Cell(value=1, p=p, p_holm=0.0, significant=True)} for i, p in enumerate(p_values)
    }
    return Table(name="t", title="t", caption="", rows=tuple(cells), columns=(Column(key=reward),), cells=cells)


def test_orders_that_were_stated_of_several_rewards_are_one_family(tmp_path: Path) -> None:
    """Of .01, .03, .02 and .0125 in a family of four: 4 x .01; 3 x .0125 is less, so .04, too; 2 x .02; .04 for .03."""
    one = read_report(report(tmp_path))
    colour = replace(one, stated=stated(REWARD, 0.01, 0.03))
    pref = replace(one, reward=OTHER, stated=stated(OTHER, 0.02, 0.0125))
    found = stated_family([colour, pref])
    assert found is not None and [column.key for column in found.columns] == [REWARD, OTHER]
    cells: Any = [found.get(row, reward) for row in found.rows for reward in (REWARD, OTHER)]
    assert [cell.p_holm for cell in cells] == pytest.approx([0.04, 0.04, 0.04, 0.04]) and cells[0].significant
    assert "all 4 of them" in found.caption
    weak = stated_family([colour, replace(pref, stated=stated(OTHER, 0.02, 0.2))])
    assert weak is not None and not weak.get("tailorpo > 1", OTHER).significant  # type: ignore[union-attr]
    assert stated_family([colour, replace(pref, stated=None)]) is None


def test_the_command_writes_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = report(tmp_path)
    assert main(["leaderboard", str(one), "--store", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "minus best-of-4" in out and "tailorpo-g has the highest F(.2)" in out
    page = Path(out.splitlines()[-1].removeprefix("leaderboard: "))
    assert page.is_file() and (page.parent / "leaderboard-shapes-colour.csv").is_file()
    assert "Which one, on shapes-colour" in page.read_text()


def test_reports_of_another_kind_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leaderboard", str(tmp_path / "nothing"), "--store", str(tmp_path)]) != 0
    assert "is not a report" in capsys.readouterr().err
    plain = folder.write(tmp_path, "p", Page(title="p", intro="", sections=()))
    assert main(["leaderboard", str(plain), "--store", str(tmp_path)]) == 2
    assert "no F(.2)" in capsys.readouterr().err
    one = report(tmp_path / "other")
    (one / "scores.parquet").unlink()
    assert main(["leaderboard", str(one), "--store", str(tmp_path)]) != 0
    assert "has no scores" in capsys.readouterr().err

"""``bench power`` against drawn tables: what it foresees is what new tables of that size find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchbench.cli.main import main
from benchbench.evaluate.power import plan
from benchbench.report.scores_file import write_scores
from benchbench.stats.paired import difference
from tests.stats.test_paired import frame

BETWEEN_TRAININGS, BETWEEN_PROMPTS, OF_A_CELL = 0.3, 0.4, 0.6
PROMPTS = 45


def base(rng: np.random.Generator) -> pd.DataFrame:
    """Returns scores of a base whose images have a standard deviation of about 1."""
    return frame(rng.normal(size=(PROMPTS, 8)).tolist())


def row(rng: np.random.Generator, base: pd.DataFrame, trainings: int, effect: float) -> pd.DataFrame:
    """Returns scores whose difference to the base varies by the three deviations above, around ``effect``."""
    of_prompts = BETWEEN_PROMPTS * rng.normal(size=PROMPTS)
    parts = []
    for seed in range(trainings):
        shift = effect + BETWEEN_TRAININGS * rng.normal() + of_prompts + OF_A_CELL * rng.normal(size=PROMPTS)
        parts.append(base.assign(score=base.score + shift[base.prompt_index], train_seed=seed))
    return pd.concat(parts, ignore_index=True)


def report(folder: Path, trainings: int) -> Path:
    """Writes the scores of a report with a base and twenty rows, so that the deviations are known well."""
    rng = np.random.default_rng(0)
    start = base(rng)
    rows = {f"row{i}": row(rng, start, trainings, 0.5) for i in range(20)}
    frames = {name: part.assign(reward="r") for name, part in {"base": start, **rows}.items()}
    write_scores(folder, {"t": frames})
    return folder


def test_it_foresees_what_new_tables_find(tmp_path: Path) -> None:
    """300 new tables of 5 trainings: the share has a standard error of at most 0.03."""
    [spread], [design] = plan(report(tmp_path, 10), [5], None, [0.5], 1)
    measured = (spread.between_trainings, spread.between_prompts, spread.of_a_cell)
    assert measured == pytest.approx((BETWEEN_TRAININGS, BETWEEN_PROMPTS, OF_A_CELL), rel=0.15)
    rng = np.random.default_rng(1)
    found = []
    for _ in range(300):
        start = base(rng)
        found.append(difference(row(rng, start, 5, 0.5), start).p < 0.05)
    assert design.found[0] == pytest.approx(float(np.mean(found)), abs=0.09)


def test_it_prints_a_line_for_each_number_of_trainings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["power", str(report(tmp_path, 3)), "--trainings", "3,10", "--effects", "0.5", "--tests", "12"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert lines[-3] == ["table", "reward", "trainings", "prompts", "found in 80 of 100", "found of 0.5 SD"]
    assert [line[:4] for line in lines[-2:]] == [["t", "r", "3", "45"], ["t", "r", "10", "45"]]
    assert int(lines[-2][5][:-1]) < int(lines[-1][5][:-1])


def test_what_cannot_be_planned_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["power", str(tmp_path)]) == 2
    assert "holds no scores" in capsys.readouterr().err
    assert main(["power", str(report(tmp_path, 1))]) == 2
    assert "does not say how much trainings differ" in capsys.readouterr().err
    for wrong in (["--effects", "0"], ["--effects", "x"], ["--trainings", "0"], ["--effects", "inf"]):
        assert main(["power", str(tmp_path), *wrong]) == 2

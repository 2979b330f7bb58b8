"""`bench tune`: the plan of a large model, and wrong words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Bench


def test_a_dry_run_of_a_large_model_says_what_is_missing(bench: Bench, tmp_path: Path) -> None:
    words = ["--model", "sd15", "--reward", "aesthetic", "--dry-run", "--store", str(tmp_path)]
    ran = bench("tune", "tailorpo", *words, "--rates", "1e-5,3e-5", "--seeds", "7")
    assert ran.code == 0, ran.err
    for said in ("equal work: 10,000 images of ddpo", "missing: ", "nothing guards", "seeds 7 are below 100"):
        assert said in ran.out
    assert ran.out.count("left: ") == 2 and not (tmp_path / "tunings").exists()


@pytest.mark.parametrize("rates", ["1e-3,x", "", "1e-3,1e-3", "0", "2", "nan"])
def test_wrong_rates_are_told(rates: str, bench: Bench) -> None:
    ran = bench("tune", "ddpo", "--rates", rates)
    assert ran.code == 2 and "--rates" in ran.err

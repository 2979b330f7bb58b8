"""``bench reproduce``: the plan and what it refuses; the run itself is `make quickstart`."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Bench


def test_a_dry_run_says_what_would_be_done_and_where(bench: Bench) -> None:
    ran = bench("reproduce", "tailorpo:2", "--track", "shapes", "--quick", "--dry-run")
    assert ran.code == 0, ran.err
    assert "bench-store" in ran.out.splitlines()[0]
    assert ran.out.count("left: ") == 4


def test_rows_and_seeds_choose_trainings(bench: Bench) -> None:
    ran = bench("reproduce", "tailorpo:2", "--rows", "base,tailorpo", "--train-seeds", "3,4", "--dry-run")
    assert ran.code == 0, ran.err
    left = [line for line in ran.out.splitlines() if line.startswith("left: ")]
    assert left
    assert all("tailorpo-shapes" in line and ("-s3-" in line or "-s4-" in line) for line in left)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["tailorpo:3000"], "tailorpo:"),
        (["tailorpo:2", "--track", "shape"], "shapes"),
        (["tailorpo:2", "--rows", "tailropo"], "tailorpo"),
        (["tailorpo:2", "--train-seeds", "0,zero"], "not a list"),
        (["tailorpo:2", "--jobs", "0"], "--jobs"),
        (["tailorpo:2", "--dtype", "fp64"], "bf16"),
        (["tailorpo:2", "--checkpoint", "tailorpo"], "not of the form"),
        (["tailorpo:2", "--checkpoint", "tailropo=x"], "tailorpo"),
    ],
)
def test_wrong_names_end_with_2(bench: Bench, argv: list[str], said: str) -> None:
    ran = bench("reproduce", *argv, "--dry-run")
    assert ran.code == 2
    assert said in ran.err

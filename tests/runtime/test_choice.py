"""A plan that is only shown needs no cluster and no package of one; wrong options are told all the same."""

from __future__ import annotations

import sys

import pytest

from benchbench.errors import UsageError
from benchbench.runtime.backends.choice import BackendChoice, alone


@pytest.mark.parametrize("on", ["ray", "slurm"])
def test_a_plan_asks_no_cluster(on: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("ray", "submitit"):
        monkeypatch.setitem(sys.modules, package, None)  # an import of it fails
    monkeypatch.setenv("PATH", "")
    slurm = ("time=8:00:00",) if on == "slurm" else ()
    assert BackendChoice(on, None, slurm).slots(10) == 10
    assert BackendChoice(on, 4, slurm).slots(10) == 4 and BackendChoice(on, 64, slurm).slots(10) == 10


@pytest.mark.parametrize(
    ("choice", "problem"),
    [
        (BackendChoice("foo"), "no backend 'foo'"),
        (BackendChoice("slurm"), "no time limit"),
        (BackendChoice("local", None, ("time=3",)), "--slurm has no effect"),
        (BackendChoice("slurm", None, ("time=3",), "host:1"), "--ray-address has no effect"),
    ],
)
def test_wrong_options_are_told_before_a_cluster_is_asked(choice: BackendChoice, problem: str) -> None:
    for ask in (choice.slots, choice.backend):
        with pytest.raises(UsageError, match=problem):
            ask(3)


def test_what_is_timed_runs_alone() -> None:
    assert alone(BackendChoice()).slots == 1
    with pytest.raises(UsageError, match="measures times"):
        alone(BackendChoice("local", 2))

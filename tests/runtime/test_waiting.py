"""Threads of OpenMP give their core back soon, unless the user has said how they wait."""

from __future__ import annotations

import os

import pytest

from benchbench.cli.main import main
from benchbench.runtime.waiting import SPINS


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # so that what a command sets is taken back
        monkeypatch.delenv(name)


def test_every_command_says_it_to_openmp() -> None:
    main(["--version"])
    assert os.environ["GOMP_SPINCOUNT"] == SPINS


@pytest.mark.parametrize(("name", "value"), [("GOMP_SPINCOUNT", "77"), ("OMP_WAIT_POLICY", "ACTIVE")])
def test_the_user_s_word_holds(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    main(["--version"])
    assert os.environ[name] == value
    assert os.environ.get("GOMP_SPINCOUNT", "77") == "77"

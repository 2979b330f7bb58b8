"""Runs ``bench`` in this process, and writes a model that is small enough to train in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from benchbench.cli.main import main
from tests.tiny import write_tiny_sd


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Standard output without its line breaks, which may stand anywhere in a caption."""
        return " ".join(self.out.split())


Bench = Callable[..., Ran]


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    """``bench("list", "methods")`` -> exit code, standard output, standard error."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*argv: object) -> Ran:
        capsys.readouterr()
        code = main([str(word) for word in argv])
        return Ran(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def tiny_sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_sd(tmp_path_factory.mktemp("tiny") / "sd")

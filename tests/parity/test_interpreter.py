"""The first Python 3.10 that runs is taken; one that exists and does not run, as a shim of pyenv, is passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbench.errors import MissingError, UsageError
from benchbench.parity import interpreter
from tests.parity.conftest import script

BROKEN = "echo 'pyenv: python3.10: command not found' >&2; exit 127"


def test_the_first_that_runs_is_taken(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [bare_machine / name for name in ("shims", "newer", "good", "later")]
    monkeypatch.setenv("PATH", ":".join(map(str, places)))
    for place, body in zip(places, (BROKEN, "echo 3.11", "echo 3.10", "echo 3.10"), strict=True):
        script(place / "python3.10", body)
    assert interpreter.find(None) == places[2] / "python3.10"


def test_what_uv_names_then_uvs_folder_then_pyenvs(bare_machine: Path) -> None:
    """The newest version of a folder comes first: 3.10.13 before 3.10.9."""
    home = bare_machine / "home"
    named = script(bare_machine / "named" / "python3.10", "echo 3.10")
    uv = script(bare_machine / "bin" / "uv", f'[ "$UV_PYTHON_DOWNLOADS" = never ] && echo {named}')
    in_uv = script(home / ".local/share/uv/python/cpython-3.10.4-linux/bin/python3.10", "echo 3.10")
    newer = script(home / ".pyenv/versions/3.10.13/bin/python3.10", "echo 3.10")
    older = script(home / ".pyenv/versions/3.10.9/bin/python3.10", "echo 3.10")
    script(home / ".pyenv/versions/3.11.7/bin/python3.11", "echo 3.11")
    assert list(interpreter.candidates()) == [named, in_uv, newer, older]
    uv.write_text("#!/bin/sh\nexit 2\n")
    assert interpreter.find(None) == in_uv
    in_uv.write_text(f"#!/bin/sh\n{BROKEN}\n")
    assert interpreter.find(None) == newer


def test_none_is_three_lines(bare_machine: Path) -> None:
    with pytest.raises(MissingError, match=r"no Python 3\.10 was found") as raised:
        interpreter.find(None)
    assert "not on PATH" in raised.value.cause and "--python PATH" in raised.value.remedy


def test_what_was_passed_over_is_named_with_its_reason(bare_machine: Path) -> None:
    shim = script(bare_machine / "bin" / "python3.10", BROKEN)
    with pytest.raises(MissingError) as raised:
        interpreter.find(None)
    assert str(shim) in raised.value.cause and "command not found" in raised.value.cause


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("echo 3.11", "it is Python 3.11"),
        ("echo ModuleNotFoundError: ensurepip >&2; exit 1", "ensurepip"),
        ("exit 3", "3"),
    ],
)
def test_a_named_one_that_does_not_fit_is_refused(tmp_path: Path, body: str, reason: str) -> None:
    with pytest.raises(UsageError) as raised:
        interpreter.find(str(script(tmp_path / "python", body)))
    assert reason in raised.value.cause


def test_a_named_one_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        interpreter.find(str(tmp_path / "none"))


def test_a_named_one_is_taken(tmp_path: Path) -> None:
    python = script(tmp_path / "python", "echo 3.10")
    assert interpreter.find(str(python)) == python


def test_one_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "SECONDS", 0.2)
    assert "did not answer" in str(interpreter.unfit(script(tmp_path / "python", "exec sleep 5")))

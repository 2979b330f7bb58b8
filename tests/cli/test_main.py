"""Help, version, errors and exit codes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchbench import __version__
from benchbench.cli import listing
from benchbench.cli.main import spread
from benchbench.errors import BenchError, CorruptError, MissingError, RunError, UsageError
from benchbench.runtime.status import VARIABLE, StatusReader
from tests.cli.conftest import Bench

COMMANDS = ["train", "eval", "reproduce", "sweep", "report", "list", "show", "status", "doctor", "fetch", "shapes"]


def test_version(bench: Bench) -> None:
    assert bench("--version") == (0, f"benchbench {__version__}\n", "")


@pytest.mark.parametrize("argv", [[], ["train"], ["reproduce"], ["list", "methods"], ["show", "prompts", "animals"]])
def test_help_and_listing_import_no_torch(argv: list[str]) -> None:
    words = argv if argv[:1] in (["list"], ["show"]) else [*argv, "--help"]
    code = f"import sys; from benchbench.cli.main import main; main({words!r}); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(bench: Bench, command: str) -> None:
    ran = bench(command, "--help")
    assert ran.code == 0
    assert f"bench {command}" in ran.out


@pytest.mark.parametrize(
    "argv",
    [
        ["trian"],
        ["train"],
        ["train", "--method", "ddpo", "--sampels", "3"],
        ["list", "method"],
        ["eval", "--prompts", "animals", "--rewards", "all", "--eval-seeds", "0,x"],
        ["eval", "--prompts", "animals", "--rewards", "all", "--eval-seeds", "1,1"],
        ["fetch"],
    ],
)
def test_wrong_usage_ends_with_2(bench: Bench, argv: list[str]) -> None:
    ran = bench(*argv)
    assert ran.code == 2
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("error", "code"), [(UsageError, 2), (MissingError, 3), (CorruptError, 4), (RunError, 5)], ids=lambda v: str(v)
)
def test_an_error_is_three_lines_and_its_code(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: type[BenchError], code: int
) -> None:
    def fail(*_: object) -> None:
        raise error("this is wrong", "that is why", "do this")

    monkeypatch.setattr(listing, "table", fail)
    ran = bench("list", "methods")
    assert (ran.code, ran.err) == (code, "error: this is wrong\n  why: that is why\n  do:  do this\n")


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (ZeroDivisionError("a fault of ours"), 5, "BENCH_DEBUG=1"),
        (OSError(errno.ENOSPC, "No space left on device", "x.webp"), 5, "the disk is full"),
        (OSError(errno.EACCES, "Permission denied", "x.webp"), 5, "Permission denied"),
        (MemoryError("Unable to allocate 9 GiB"), 5, "error: out of memory\n  why: Unable to allocate 9 GiB\n  do:  "),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 GiB"), 5, "error: out of memory\n  why: Default"),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=["fault", "full", "denied", "no memory", "no memory for a tensor", "ctrl-c"],
)
def test_what_nobody_foresaw_shows_no_traceback(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int, said: str
) -> None:
    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(listing, "table", fail)
    ran = bench("list", "methods")
    assert ran.code == code
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_a_traceback_is_there_for_those_who_ask(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DEBUG", "1")
    ran = bench("show", "method", "no-such-thing")
    assert ran.code == 2
    assert "Traceback" in ran.err


def test_a_runner_is_told_of_an_error(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reader = StatusReader(tmp_path / "status")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "status"))
    ran = bench("show", "method", "no-such-thing")
    reader.read(os.getpid())
    assert isinstance(reader.error, UsageError) and ran.err == f"error: {reader.error}\n"


def test_several_values_after_one_flag() -> None:
    argv = ["train", "--set", "a.b=1", "c.d=-2", "--out", "x", "--set", "e.f=3"]
    assert spread(argv) == ["train", "--set", "a.b=1", "--set", "c.d=-2", "--out", "x", "--set", "e.f=3"]
    for flag in ("--checkpoint", "--adapter"):
        assert spread(["eval", flag, "one", "two", "--model", "shapes"]) == [
            *("eval", flag, "one", flag, "two", "--model", "shapes")
        ]


def test_help_is_quick() -> None:
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "benchbench", "--help"], check=True, stdout=subprocess.DEVNULL)
    assert time.monotonic() - started < 5  # 0.3 s on an idle core; torch alone takes longer than this on a busy one


WHILE_LOADING = """
class Ends:
    def find_spec(self, name, *_):
        if name == "benchbench.cli.commands":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Ends())
"""
WHILE_THE_PARSER_IS_BUILT = """
import typer.main
def ends(*_, **__):
    raise KeyboardInterrupt
typer.main.get_command = ends
"""


@pytest.mark.parametrize("moment", [WHILE_LOADING, WHILE_THE_PARSER_IS_BUILT], ids=["loading", "building"])
def test_ctrl_c_in_the_first_instant_is_no_traceback(moment: str) -> None:
    run = "sys.argv = ['bench', 'list', 'methods']; runpy.run_module('benchbench', run_name='__main__')"
    code = f"import runpy, sys\n{moment}\n{run}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")

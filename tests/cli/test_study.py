"""``bench study`` from the command line: its words, its errors of three lines, and what it writes."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from benchbench.study.vote_store import FILE
from tests.cli.conftest import Bench
from tests.study.made import make_study
from tests.study.server import free_port


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study in the store, of one row, which nobody has answered."""
    folder = tmp_path / "bench-store" / "studies" / "s"
    sampler = {"steps": 20, "guidance_scale": 5.0, "eta": 1.0}
    make_study(folder, count=2, images=3, arms=1, model="shapes", sampler=sampler)
    return folder


def test_a_simulated_panel_answers_a_copy_and_its_votes_are_written(bench: Bench, study: Path, tmp_path: Path) -> None:
    words = ["--reward", "jpeg_compressibility", "--clickers", 1]
    made = bench("study", "simulate", "s", *words)
    assert made.code == 0 and "jpeg_compressibility has answered" in made.out
    assert not (study / FILE).exists()  # the study itself is as it was
    status = bench("study", "status", "s-simulated")
    assert status.code == 0 and status.out.splitlines()[1].startswith("rater\tvotes")
    results = bench("study", "results", "s-simulated", "--rewards", "none")
    assert results.code == 0 and "QUICK, not a result" in results.out and "report-QUICK.html" in results.out
    votes, pairs, table = tmp_path / "v.jsonl", tmp_path / "pairs", tmp_path / "v.csv"
    exported = bench(
        "study", "export", "s-simulated", "--votes", votes, "--pairs", pairs, "--csv", table, "--all-raters"
    )
    assert exported.code == 0, exported.err
    assert json.loads(votes.read_text().splitlines()[0])["steps"] == 20
    again = bench("study", "export", "s-simulated", "--csv", table)
    assert again.code == 2 and "nothing is overwritten" in again.err
    assert bench("study", "simulate", "s", *words).code == 2


def test_a_plan_says_what_each_size_finds(bench: Bench) -> None:
    ran = bench("study", "simulate", "--raters", "3,4", "--prompts", 5, "--images-per-prompt", 1, "--panels", 2)
    assert ran.code == 0
    header, *rows = ran.out.splitlines()[1:]
    assert header.startswith("raters\tprompts") and [row.split("\t")[0] for row in rows] == ["3", "4"]
    assert bench("study", "simulate", "--raters", "3,x").code == 2
    too_much = bench("study", "simulate", "--difference", 1, "--panels", 1)
    assert too_much.code == 2 and "  why:" in too_much.err and "  do:" in too_much.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["results", "s"], "has no votes"),
        (["export", "s", "--csv", "x.csv"], "has no votes"),
        (["serve", "none"], "no study 'none'"),
    ],
)
def test_what_cannot_be_done_is_said_in_three_lines(words: list[str], message: str, bench: Bench, study: Path) -> None:
    ran = bench("study", *words)
    assert ran.code in (2, 3) and message in ran.err
    assert len(ran.err.strip().splitlines()) == 3


@pytest.mark.parametrize(
    "words",
    [
        ["--row", "a", "--question", "Q?", "--raters", 2],
        ["--row", "a=base", "--question", " ", "--raters", 2],
        ["--row", "a=base", "--question", "Q?", "--raters", 0],
        ["--row", "a=base", "--question", "Q?", "--raters", 2, "--answers", "yes"],
        ["--row", "a=none", "--question", "Q?", "--raters", 2, "--model", "shapes"],
        ["--row", "a=base", "--question", "Q?", "--raters", 2, "--model", "shapes", "--consent", "none.txt"],
    ],
)
def test_a_wrong_word_makes_no_study(words: list[object], bench: Bench, tmp_path: Path) -> None:
    ran = bench("study", "new", "t", *words)
    assert ran.code in (2, 3) and "Traceback" not in ran.err
    assert not (tmp_path / "bench-store" / "studies" / "t").exists()


def test_a_port_that_is_taken_is_named(bench: Bench, study: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = bench("study", "serve", "s", "--port", taken.getsockname()[1])
    assert ran.code == 2 and "name another --port" in ran.err


@pytest.mark.slow
def test_ctrl_c_ends_the_server_with_the_command_that_goes_on(study: Path) -> None:
    command = [sys.executable, "-m", "benchbench", "study", "serve", str(study), "--port", str(free_port())]
    server = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job of a shell ignores it
    )
    assert server.stdout is not None
    while "Ctrl-C" not in server.stdout.readline():
        pass
    server.send_signal(signal.SIGINT)
    _, err = server.communicate(timeout=60)
    assert server.returncode == 130 and "go on with: bench study serve" in err and "Traceback" not in err


def test_the_status_of_a_study_that_nobody_has_answered_is_all_zeros(bench: Bench, study: Path) -> None:
    ran = bench("study", "status", "s")
    assert ran.code == 0 and ran.out.startswith("0 of ") and ran.out.splitlines()[2].startswith("1\t0\t")

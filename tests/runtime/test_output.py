"""A reader that has gone away ends the work as a hang-up does, and what was made is kept."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchbench.runtime import output
from benchbench.runtime.interrupt import Interrupt

TRAINING = """
import sys, time
from pathlib import Path
from benchbench.cli.main import main
from benchbench.cli import listing, ui
from benchbench.runtime.interrupt import Interrupt

def work(*_):
    with ui.resumable("--resume"), Interrupt(ui.log) as interrupt:
        for i in range(200):
            ui.log(f"rollout {i}")
            time.sleep(0.02)
            if interrupt.requested:
                Path("saved").write_text(str(i))
                raise KeyboardInterrupt
listing.table = work
sys.exit(main(["list", "methods"]))
"""


class Gone:
    """A stream that nobody reads."""

    def __init__(self, number: int) -> None:
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, "gone")

    def flush(self) -> None:
        pass


def test_a_training_into_a_closed_pipe_saves_and_ends(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", TRAINING],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    assert process.stdout and process.stderr
    assert process.stdout.readline() == "rollout 0\n"
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(30) == 130
    assert int((tmp_path / "saved").read_text()) < 199
    assert "go on with: bench" in err and "--resume" in err and "BrokenPipe" not in err and "Traceback" not in err


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO])
def test_one_signal_is_sent_and_only_where_work_is_saved(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(output.os, "kill", lambda pid, signal_number: sent.append(signal_number))
    gone: Any = Gone(number)
    with pytest.raises(OSError, match="gone"):
        output.write_line("x", gone)
    with output.saving():
        output.write_line("x", gone)
        output.write_line("x", gone)
    assert sent == [signal.SIGHUP]
    with output.saving(), Interrupt(lambda line: output.write_line(line, gone)) as interrupt:
        interrupt._handle(signal.SIGTERM, None)  # its own line is no second reason
    assert interrupt.requested and sent == [signal.SIGHUP]


def test_another_error_of_a_stream_is_raised() -> None:
    full: Any = Gone(errno.ENOSPC)
    with output.saving(), pytest.raises(OSError, match="gone"):
        output.write_line("x", full)


def test_a_listing_whose_reader_has_seen_enough_has_not_failed() -> None:
    """``bench list prompts | head -1``: one line, no words of an error, exit status 0 on both sides."""
    command = "set -o pipefail; python -m benchbench list prompts | head -1".replace("python", sys.executable, 1)
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr, ran.stdout.count("\n")) == (0, "", 1)


def test_a_character_that_the_terminal_has_not_is_escaped() -> None:
    """x̂0 in a summary, into Latin-1."""
    code = "from benchbench.runtime.output import escape_unknown_signs, write_line; escape_unknown_signs()"
    code += "; write_line('x\\u0302')"
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert (ran.stdout, ran.returncode) == (b"x\\u0302\n", 0), ran.stderr
    command = [sys.executable, "-m", "benchbench", "show", "method", "spo"]
    ran = subprocess.run(command, env=environment, capture_output=True)
    assert ran.returncode == 0 and ran.stdout, ran.stderr

"""Progress as lines where there is no terminal, as a bar where there is one."""

import io
import sys

import pytest

from benchbench.runtime import progress as module
from benchbench.runtime.progress import duration, progress


def test_lines_at_most_every_ten_seconds(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with progress(100, "generating", "images") as bar:
        for _ in range(50):
            now[0] += 1
            bar.advance(2, "reward 7.9")
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == "" and len(lines) == 5
    assert lines[0] == "generating: 20/100 images, 40 s left, reward 7.9"
    assert lines[-1] == "generating: 100/100 images in 50 s, reward 7.9"


def test_what_was_done_before_says_nothing_about_speed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with progress(100, "training", done=80) as bar:
        now[0] = 10
        bar.advance(10)
    assert capsys.readouterr().err.startswith("training: 90/100, 10 s left")


def test_a_bar_on_a_terminal_takes_any_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with progress(4, "scoring [base]", "images") as bar:
        bar.advance(4, "reward [/red] 1")
    shown = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert "scoring [base]" in shown and "4/4" in shown


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (59.4, "59 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text

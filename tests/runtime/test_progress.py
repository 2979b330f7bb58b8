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


def test_neither_loading_nor_what_was_done_before_says_anything_about_speed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first ten steps come after ten seconds of loading, the next five ten seconds later: five more take ten."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with progress(100, "training", done=80) as bar:
        now[0] = 10
        bar.advance(10)
        now[0] = 20
        bar.advance(5)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["training: 90/100", "training: 95/100, 10 s left"]


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

"""The program of the other interpreter: what it is asked, how its answers are read, that it ends with its caller."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchbench.errors import RunError
from benchbench.parity import child
from tests.parity.conftest import script

PICTURES = [Path("/pictures/00000.png"), Path("/pictures/00001.png")]
PROMPTS = ["a cat", "\u201ca\u201d \u732b"]


@pytest.fixture
def ask(tmp_path: Path) -> Callable[[str], list[float]]:
    def scores(body: str) -> list[float]:
        (tmp_path / "work").mkdir()
        python = script(tmp_path / "python", body)
        return child.scores(python, "pickscore", [[Path("w.bin")]], PICTURES, PROMPTS, tmp_path / "work")

    return scores


def test_scores_come_a_line_each(ask: Callable[[str], list[float]], tmp_path: Path) -> None:
    lines = (
        f"cat > {tmp_path}/asked",
        f'echo "$HF_HUB_OFFLINE|$CUDA_VISIBLE_DEVICES" > {tmp_path}/set',
        "echo noise >&2",
        """echo '{"score": 1.5}'""",
        """echo '{"score": -2}'""",
    )
    body = "\n".join(lines)
    assert ask(body) == [1.5, -2.0]
    assert (tmp_path / "set").read_text() == "1|\n", "no network, no GPU"
    asked = json.loads((tmp_path / "asked").read_text())
    assert asked["reward"] == "pickscore" and asked["prompts"] == PROMPTS
    assert asked["files"] == [[str(Path("w.bin").absolute())]] and asked["folder"] == str(tmp_path / "work")
    assert asked["pictures"] == [str(path) for path in PICTURES]


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("echo 'Traceback' >&2; echo 'RuntimeError: no such tensor' >&2; exit 1", "RuntimeError: no such tensor"),
        ("""echo '{"score": 1}'""", "after 1 of 2 scores: it printed nothing"),
        ("""echo '{"score": 1}'; echo '{"score": NaN}'""", "after 2 of 2 scores"),
        ("kill -9 $$", "status -9"),
    ],
    ids=["error", "too few", "not a number", "killed"],
)
def test_whatever_goes_wrong_is_three_lines(ask: Callable[[str], list[float]], body: str, cause: str) -> None:
    with pytest.raises(RunError, match="could not compute pickscore") as raised:
        ask(body)
    assert cause in raised.value.cause


def test_it_ends_with_its_caller(
    ask: Callable[[str], list[float]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C reaches the caller between two answers."""

    def interrupted(line: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(child, "parse_object", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ask(f"""echo $$ > {tmp_path}/pid; echo '{{"score": 1}}'; exec sleep 60""")
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("it still runs")

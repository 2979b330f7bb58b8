"""Words that are too long for a file's name, and files in the place of folders, are errors of three lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbench.cli import main as command_line


def test_names_that_are_too_long_are_an_error_of_three_lines(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Wherever a word may be a file."""
    long, folder = "x" * 300, tmp_path / "file"
    folder.touch()
    shapes = ["--model", "shapes", "--prompts", "shapes-simple"]
    for words in (
        ["train", "--method", "ddpo", "--model", long],
        ["train", "--method", "ddpo", "--model", f"shapes+vae={long}"],
        ["train", "--method", "ddpo", "--model", "shapes", "--prompts", long],
        ["train", "--method", "ddpo", "--model", "shapes", "--prompts", f"{long}.txt"],
        ["train", "--method", "dspo", "--model", "shapes", "--pairs", long],
        ["train", "--method", "ddpo", *shapes, "--out", str(tmp_path / long)],
        ["train", "--method", "ddpo", *shapes, "--out", str(folder)],
        ["train", "--method", "ddpo", *shapes, "--reward", long],
        ["eval", *shapes, "--rewards", "shapes-colour", "--checkpoint", long],
        ["eval", *shapes, "--rewards", "shapes-colour", "--store", str(tmp_path / long)],
        ["eval", *shapes, "--rewards", "shapes-colour", "--store", str(folder)],
        ["score", "--images", long, "--prompts", "shapes-simple", "--rewards", "shapes-colour"],
        ["pairs", "make", *shapes, "--out", str(tmp_path / long)],
        ["pairs", "check", long],
        ["show", "run", long],
        ["show", "model", long],
        ["show", "prompts", long],
        ["report", long],
        ["compare", long, "base"],
        ["measure", "jensen-gap", long, *shapes],
        ["check", long],
        ["train-spm", "--out", str(tmp_path / long)],
    ):
        code = command_line.main(words)
        err = capsys.readouterr().err
        assert code in (2, 3, 4, 5) and "internal error" not in err and "Traceback" not in err, (words[:4], err)
        assert "error: " in err or "Usage: " in err, (words[:4], err)

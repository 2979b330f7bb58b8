"""The note beside a bar of scores is their mean so far, not that of the last batch."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchbench.cli.main import main
from benchbench.evaluate.mean_note import MeanNote


def test_a_mean_over_batches_of_different_sizes() -> None:
    note = MeanNote("colour", [])
    assert note.after([1.0, 2.0, 3.0]) == "mean colour 2"
    assert note.after([10.0]) == "mean colour 4"


def test_scores_that_were_there_before_count() -> None:
    assert MeanNote("colour", [4.0, 6.0]).after([8.0]) == "mean colour 6"


def test_the_last_line_of_an_evaluation_has_the_mean_of_its_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three images of each of 45 prompts are more than one batch of a reward."""
    words = ["eval", "--model", "shapes", "--prompts", "shapes-simple", "--images-per-prompt", "3", "--steps", "1"]
    assert main([*words, "--rewards", "shapes-colour", "--store", str(tmp_path)]) == 0
    said = capsys.readouterr()
    lines = [line for line in (said.out + said.err).splitlines() if "scoring base" in line]
    mean = float(lines[-1].rpartition("mean shapes-colour ")[2])
    (cell,) = re.findall(r"(?m)^base +([\d.]+) \[", said.out)
    assert float(cell) == pytest.approx(mean, abs=0.05)

"""A caption's first sentences stand beside the table; the others are behind a fold."""

from __future__ import annotations

import pytest

from benchbench.report.captions import LETTERS, split_caption

LONG = "x" * LETTERS


@pytest.mark.parametrize(
    ("caption", "lead", "rest"),
    [
        ("One. Two.", "One. Two.", ""),
        (f"One. Two! {LONG}. Four.", "One. Two!", f"{LONG}. Four."),
        (f"{LONG} {LONG}. Two.", f"{LONG} {LONG}.", "Two."),  # never less than a sentence
        (f"As in arXiv:2502.01667, e.g. here. {LONG}.", "As in arXiv:2502.01667, e.g. here.", f"{LONG}."),
        ("", "", ""),
    ],
)
def test_captions_are_split_between_sentences(caption: str, lead: str, rest: str) -> None:
    assert split_caption(caption) == (lead, rest)

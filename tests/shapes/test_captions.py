"""Captions, prompts and the two prompt sets."""

from pathlib import Path

import numpy as np
import pytest

from benchbench.shapes.captions import complex_prompts, describe, phrase, simple_prompts, stated_attributes
from benchbench.shapes.drawing import random_scene

PROMPTS = Path(__file__).parents[2] / "prompts"


def test_phrase_states_what_it_is_given() -> None:
    """Parts come in the grammar's order, whatever the mapping's."""
    given = {"background": "orange", "shape": "ring", "colour": "red", "size": "small", "position": "top"}
    assert phrase(given) == "a small red ring at the top on an orange background"


def test_captions_round_trip() -> None:
    """`stated` reads back exactly what a caption says, and all of it is true of the scene."""
    rng = np.random.default_rng(1)
    for _ in range(300):
        scene = random_scene(rng)
        caption = describe(scene, rng)
        said = stated_attributes(caption)
        assert {"colour", "shape"} <= set(said)
        assert all(getattr(scene, name) == value for name, value in said.items())
        assert phrase(said) == caption


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("", {}),
        ("a photo of a dog", {}),
        ("A red circle.", {"colour": "red", "shape": "circle"}),
        ("a ring on a pink background", {"shape": "ring", "background": "pink"}),
    ],
)
def test_stated_passes_over_what_it_does_not_know(prompt: str, expected: dict[str, str]) -> None:
    """Unknown words state nothing; a colour before "background" is the background's."""
    assert stated_attributes(prompt) == expected


def test_prompt_files_are_what_the_generator_gives() -> None:
    """The text files are made by the code, line for line."""
    assert (PROMPTS / "shapes-simple.txt").read_text().splitlines() == simple_prompts()
    assert (PROMPTS / "shapes-complex.txt").read_text().splitlines() == complex_prompts()


def test_prompt_sets_are_disjoint_and_complete() -> None:
    """45 and 500 different prompts; the complex ones state four or five things, object and background differ."""
    simple, hard = simple_prompts(), complex_prompts()
    assert (len(set(simple)), len(set(hard))) == (45, 500)
    assert not set(simple) & set(hard)
    for prompt in hard:
        said = stated_attributes(prompt)
        assert len(said) >= 4 and said["colour"] != said.get("background")
    assert all(len(stated_attributes(prompt)) == 2 for prompt in simple)

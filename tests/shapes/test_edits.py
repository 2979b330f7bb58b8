"""The set shapes-edits, and what the oracle says of edits that are known."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchbench.shapes.attributes import ATTRIBUTES
from benchbench.shapes.captions import stated_attributes
from benchbench.shapes.drawing import Scene, draw
from benchbench.shapes.edits import COUNT, edit_rows, instruction, judge, scene_of

FILE = Path(__file__).parents[2] / "prompts" / "shapes-edits.jsonl"
ROWS = [json.loads(line) for line in FILE.read_text().splitlines()]
PROMPTS = [row["prompt"] for row in ROWS]
SCENES = [scene_of(row["scene"]) for row in ROWS]


def drawn(scenes: list[Scene]) -> np.ndarray:
    return np.stack([draw(scene) for scene in scenes])


def test_the_file_is_what_the_generator_gives() -> None:
    assert [json.loads(json.dumps(row)) for row in edit_rows(10)] == ROWS[:10] and len(ROWS) == COUNT


def test_captions_state_everything_and_differ_in_the_edited_attribute_alone() -> None:
    for row in ROWS:
        source, target = stated_attributes(row["source"]), stated_attributes(row["prompt"])
        assert set(source) == set(target) == set(ATTRIBUTES)
        assert [name for name in ATTRIBUTES if source[name] != target[name]] == [row["attribute"]]
        assert source == {name: row["scene"][name] for name in ATTRIBUTES}
        assert target["colour"] != target["background"]
    assert Counter(row["attribute"] for row in ROWS) == dict.fromkeys(ATTRIBUTES, COUNT // 5)


def test_a_perfect_edit_is_both_and_the_source_is_kept_and_not_changed() -> None:
    """The target's scene with all traits as they were; the source itself; and a picture with nothing on it."""
    targets = [
        replace(scene, **{row["attribute"]: stated_attributes(row["prompt"])[row["attribute"]]})
        for scene, row in zip(SCENES, ROWS, strict=True)
    ]
    perfect = judge(drawn(targets), ROWS, PROMPTS)
    assert all((values == 1).all() for values in perfect.values())
    nothing = judge(drawn(SCENES), ROWS, PROMPTS)
    assert (nothing["changed"] == 0).all() and (nothing["kept"] == 1).all() and (nothing["both"] == 0).all()
    blank = judge(np.full((COUNT, 32, 32, 3), 128, np.uint8), ROWS, PROMPTS)
    assert not any(values.any() for values in blank.values())


def test_a_second_change_is_not_kept() -> None:
    """A red circle made blue, as asked, and also a square; and one that only became a square."""
    scene = Scene("red", "circle", "large", "center", "yellow")
    prompt, source = (f"a large {colour} circle in the center on a yellow background" for colour in ("blue", "red"))
    rows = [{"attribute": "colour", "source": source}] * 3
    pictures = drawn([replace(scene, colour="blue"), replace(scene, colour="blue", shape="square"), scene])
    said = judge(pictures, rows, [prompt] * 3)
    assert {name: values.tolist() for name, values in said.items()} == {
        "changed": [1, 1, 0],
        "kept": [1, 0, 1],
        "both": [1, 0, 0],
    }


@pytest.mark.parametrize(
    ("attribute", "value", "words"),
    [
        ("colour", "blue", "make the ring blue"),
        ("shape", "cross", "turn the ring into a cross"),
        ("size", "small", "make the ring small"),
        ("position", "center", "move the ring to the center"),
        ("background", "pink", "make the background pink"),
    ],
)
def test_instructions(attribute: str, value: str, words: str) -> None:
    assert instruction(Scene("red", "ring", "large", "top", "green"), attribute, value) == words

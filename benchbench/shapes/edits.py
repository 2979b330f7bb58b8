"""Edits of scenes: a picture, the one attribute to change, and what the oracle says of the result.

Both captions of an edit state all five attributes. A model gets the caption of the target; the instruction, such as
"make the circle blue", is for people, since the shapes model does not know its words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .attributes import ATTRIBUTES, VALUES
from .captions import phrase, stated_attributes
from .drawing import Scene, draw, random_scene
from .oracle import read

COUNT = 100
"""Edits of the set shapes-edits, as many of each attribute."""
DECIMALS = 4
"""A set's file has a scene's numbers with so many decimals; its pictures are drawn from them."""


def stated(scene: Scene) -> dict[str, str]:
    """Returns the five attributes of a scene."""
    return {name: getattr(scene, name) for name in ATTRIBUTES}


def instruction(scene: Scene, attribute: str, value: str) -> str:
    """Returns the words of an edit for people.

    >>> instruction(Scene("red", "circle", "small", "left", "blue"), "position", "top")
    'move the circle to the top'
    """
    if attribute == "background":
        return f"make the background {value}"
    if attribute == "shape":
        return f"turn the {scene.shape} into a {value}"
    if attribute == "position":
        return f"move the {scene.shape} to the {value}"
    return f"make the {scene.shape} {value}"


def edit_rows(count: int = COUNT) -> list[dict[str, Any]]:
    """Returns the rows of the set shapes-edits: prompt, instruction, attribute, the source's caption and its scene.

    Edits whose source, or whose perfect result, the oracle misreads are not drawn, so that it says of a perfect edit
    that all is right.
    """
    return [_row(number) for number in range(count)]


def scene_of(values: Mapping[str, Any]) -> Scene:
    """Returns the scene of a row. Errors: TypeError for other fields than a scene's."""
    return Scene(**{**values, "jitter": tuple(values["jitter"])})


def judge(pictures: NDArray[np.uint8], rows: Sequence[Mapping[str, Any]], prompts: Sequence[str]) -> dict[str, Any]:
    """Returns arrays [N] of 0 and 1, by name, for pictures uint8 [N, 32, 32, 3] that were edited as rows say.

    ``changed``: the oracle reads the prompt's value of the edited attribute. ``kept``: it reads the source's value of
    each other attribute. ``both``: both of these.
    """
    changed, kept = [], []
    for seen, row, prompt in zip(read(pictures), rows, prompts, strict=True):
        source, edited = stated_attributes(row["source"]), row["attribute"]
        changed.append(seen[edited] == stated_attributes(prompt)[edited])
        kept.append(all(seen[name] == value for name, value in source.items() if name != edited))
    right = np.asarray(changed, float), np.asarray(kept, float)
    return {"changed": right[0], "kept": right[1], "both": right[0] * right[1]}


def _row(number: int) -> dict[str, Any]:
    """Returns one row; each has random numbers of its own, so that no row depends on another."""
    rng, attribute = np.random.default_rng([100, number]), ATTRIBUTES[number % len(ATTRIBUTES)]
    while True:
        scene = _rounded(random_scene(rng))
        values = [value for value in VALUES[attribute] if value not in stated(scene).values()]  # nor the other colour
        value = values[rng.integers(len(values))]
        target = scene_of({**asdict(scene), attribute: value})
        if read(np.stack([draw(scene), draw(target)])) == [stated(scene), stated(target)]:
            break
    return {
        "prompt": phrase(stated(target)),
        "instruction": instruction(scene, attribute, value),
        "attribute": attribute,
        "source": phrase(stated(scene)),
        "scene": asdict(scene),
    }


def _rounded(scene: Scene) -> Scene:
    fields = {name: round(v, DECIMALS) if isinstance(v, float) else v for name, v in asdict(scene).items()}
    return scene_of({**fields, "jitter": [round(v, DECIMALS) for v in scene.jitter]})

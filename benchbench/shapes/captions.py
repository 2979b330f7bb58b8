"""Captions of scenes, the attributes that a prompt states, and the two prompt sets of the shapes world.

The grammar is ``a [size] colour shape [position] [on a colour background]``.
"""

import itertools
from collections.abc import Mapping

import numpy as np

from .attributes import ATTRIBUTES, COLOURS, POSITION_PHRASES, POSITIONS, SHAPES, SIZES
from .drawing import Scene

EXCLUDED = ("purple cross", "cyan triangle", "pink ring")
"""Left out of the simple prompts, so that there are 45 of them, as many as DDPO's animals."""


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def phrase(attributes: Mapping[str, str]) -> str:
    """Returns the prompt that states these attributes; colour and shape are required.

    >>> phrase({"colour": "orange", "shape": "ring", "position": "left"})
    'an orange ring on the left'
    """
    words = [attributes["size"]] if "size" in attributes else []
    words += [attributes["colour"], attributes["shape"]]
    text = f"{_article(words[0])} {' '.join(words)}"
    if "position" in attributes:
        text += f" {POSITION_PHRASES[attributes['position']]}"
    if "background" in attributes:
        text += f" on {_article(attributes['background'])} {attributes['background']} background"
    return text


def stated_attributes(prompt: str) -> dict[str, str]:
    """Returns the attributes that a prompt states, the inverse of `phrase`; unknown words are ignored.

    >>> stated_attributes("a small red circle on a blue background")
    {'colour': 'red', 'shape': 'circle', 'size': 'small', 'background': 'blue'}
    """
    words = prompt.lower().replace(",", " ").replace(".", " ").split()
    attributes: dict[str, str] = {}
    for index, word in enumerate(words):
        following = words[index + 1] if index + 1 < len(words) else ""
        if word in COLOURS:
            attributes.setdefault("background" if following == "background" else "colour", word)
        elif word in SHAPES:
            attributes.setdefault("shape", word)
        elif word in SIZES:
            attributes.setdefault("size", word)
        elif word in POSITIONS:
            attributes.setdefault("position", word)
    return {name: attributes[name] for name in ATTRIBUTES if name in attributes}


def describe(scene: Scene, rng: np.random.Generator) -> str:
    """Returns a random caption of the scene: all attributes with probability 1/2, otherwise a random part of them."""
    attributes = {name: getattr(scene, name) for name in ATTRIBUTES}
    if rng.random() < 0.5:
        return phrase(attributes)
    return phrase({name: v for name, v in attributes.items() if name in ("colour", "shape") or rng.random() < 0.4})


def simple_prompts() -> list[str]:
    """Returns the 45 prompts to train on, each with a colour and a shape, such as "a red circle"."""
    pairs = itertools.product(COLOURS, SHAPES)
    return [phrase({"colour": c, "shape": s}) for c, s in pairs if f"{c} {s}" not in EXCLUDED]


def complex_prompts() -> list[str]:
    """Returns the 500 prompts to evaluate on: colour, shape and at least two of size, position and background.

    The object and its background differ in colour. The prompts are drawn without replacement from all such prompts.
    """
    sizes, positions, backgrounds = (None, *SIZES), (None, *POSITIONS), (None, *COLOURS)
    candidates = []
    for values in itertools.product(COLOURS, SHAPES, sizes, positions, backgrounds):
        attributes = {name: v for name, v in zip(ATTRIBUTES, values, strict=True) if v is not None}
        if len(attributes) >= 4 and attributes["colour"] != attributes.get("background"):
            candidates.append(phrase(attributes))
    chosen = np.random.default_rng(500).choice(len(candidates), size=500, replace=False)
    return [candidates[i] for i in chosen]

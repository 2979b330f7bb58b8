"""What the shapes world says of a scene, and what a prompt states.

The grammar is ``a [size] colour shape [position] [on a colour background]``.
"""

import itertools
from collections.abc import Mapping

import numpy as np

from .drawing import COLOURS, POSITIONS, SHAPES, SIZES, Scene

ATTRIBUTES = ("colour", "shape", "size", "position", "background")
PLACES = {
    "center": "in the center",
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
}
LEFT_OUT = ("purple cross", "cyan triangle", "pink ring")
"""Pairs kept out of the simple prompts, so that they are 45, as many as DDPO's animals."""


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def phrase(attributes: Mapping[str, str]) -> str:
    """The prompt that states these attributes; colour and shape are required.

    >>> phrase({"colour": "orange", "shape": "ring", "position": "left"})
    'an orange ring on the left'
    """
    words = [attributes["size"]] if "size" in attributes else []
    words += [attributes["colour"], attributes["shape"]]
    text = f"{_article(words[0])} {' '.join(words)}"
    if "position" in attributes:
        text += f" {PLACES[attributes['position']]}"
    if "background" in attributes:
        text += f" on {_article(attributes['background'])} {attributes['background']} background"
    return text


def stated(prompt: str) -> dict[str, str]:
    """The attributes that a prompt states: the inverse of `phrase`; words it does not know are passed over.

    >>> stated("a small red circle on a blue background")
    {'colour': 'red', 'shape': 'circle', 'size': 'small', 'background': 'blue'}
    """
    words = prompt.lower().replace(",", " ").replace(".", " ").split()
    found: dict[str, str] = {}
    for index, word in enumerate(words):
        following = words[index + 1] if index + 1 < len(words) else ""
        if word in COLOURS:
            found.setdefault("background" if following == "background" else "colour", word)
        elif word in SHAPES:
            found.setdefault("shape", word)
        elif word in SIZES:
            found.setdefault("size", word)
        elif word in POSITIONS:
            found.setdefault("position", word)
    return {name: found[name] for name in ATTRIBUTES if name in found}


def describe(scene: Scene, rng: np.random.Generator) -> str:
    """A caption of the scene: half of them state everything, the others leave parts out at random."""
    full = {name: getattr(scene, name) for name in ATTRIBUTES}
    if rng.random() < 0.5:
        return phrase(full)
    return phrase({name: v for name, v in full.items() if name in ("colour", "shape") or rng.random() < 0.4})


def simple_prompts() -> list[str]:
    """The 45 prompts to train on: a colour and a shape each, as in "a red circle"."""
    pairs = itertools.product(COLOURS, SHAPES)
    return [phrase({"colour": c, "shape": s}) for c, s in pairs if f"{c} {s}" not in LEFT_OUT]


def complex_prompts() -> list[str]:
    """The 500 prompts to evaluate on: colour and shape, and at least two of size, position and background.

    The object's colour is never that of its background. Drawn without replacement from all such prompts.
    """
    sizes, places, grounds = (None, *SIZES), (None, *POSITIONS), (None, *COLOURS)
    everything = []
    for values in itertools.product(COLOURS, SHAPES, sizes, places, grounds):
        given = {name: v for name, v in zip(ATTRIBUTES, values, strict=True) if v is not None}
        if len(given) >= 4 and given["colour"] != given.get("background"):
            everything.append(phrase(given))
    chosen = np.random.default_rng(500).choice(len(everything), size=500, replace=False)
    return [everything[i] for i in chosen]

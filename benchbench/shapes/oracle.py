"""The oracle of the shapes world: it reads the attributes that a picture shows from its pixels. Nothing is learned.

Colours are named by hue, because wash-out, shading and brightness leave the hue unchanged. A soft mask separates the
object from its background. The shape is the one whose outline fits the mask best (outlines.py). How often the answers
are right, on drawings and on labelled pictures of hacked models (labelled.py), is in README.md.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from . import outlines
from .attributes import ATTRIBUTES, COLOURS, POSITIONS, SIZES, VALUES
from .captions import stated_attributes
from .drawing import SIDE, Floats, Scene

MIN_CHROMA = 0.06
"""Colours closer to grey than this (distance in RGB, [0, 1]) get no name."""
MIN_CONTRAST = 0.10
"""Objects closer in colour to their background than this (distance in RGB, [0, 1]) are not detected."""
MIN_AREA, MAX_AREA = 20.0, 520.0
"""Masks outside this range of areas, in pixels, are no objects, unless they are large and have a clear edge."""
LARGEST_AREA, MIN_STEEPNESS = 700.0, 0.2
"""Larger masks are objects up to this area, where colours at the edge differ by this much (distance in RGB) from pixel
to pixel. The middle of a blank picture differs less from its rim."""
EDGE = 40
"""The number of steepest steps from pixel to pixel that count as the edge of an object."""
CORE = 0.9
"""Pixels that belong to the object at least this much decide its colour: others are mixed with the background."""
BORDER = 2
"""Width, in pixels, of the border to which the background is fitted."""

_AXIS = (np.arange(SIDE, dtype=np.float32) + 0.5) * 2.0 / SIDE - 1.0


def _hue_direction(colours: Floats) -> tuple[Floats, Floats]:
    """Returns the unit directions of colours [..., 3] away from grey, and their distances from grey, [...]."""
    away = colours - colours.mean(-1, keepdims=True)
    chroma = np.linalg.norm(away, axis=-1)
    return away / np.maximum(chroma, 1e-6)[..., None], chroma


_NAMES = tuple(COLOURS)
_HUES = _hue_direction(np.asarray(list(COLOURS.values()), dtype=np.float32))[0]


def _colour_names(colours: Floats) -> list[str | None]:
    """Returns the names of colours [N, 3]; None for a colour too close to grey."""
    direction, chroma = _hue_direction(colours)
    best = (direction @ _HUES.T).argmax(-1)
    return [_NAMES[i] if c >= MIN_CHROMA else None for i, c in zip(best, chroma, strict=True)]


def _fit_background(images: Floats) -> tuple[Floats, Floats]:
    """Fits the background of pictures [N, 32, 32, 3] to their borders as a linear gradient.

    Returns its colour in the middle, [N, 3], and the gradient over the whole picture, [N, 32, 32, 3].
    """
    x, y = np.meshgrid(_AXIS, _AXIS)
    border = np.ones((SIDE, SIDE), dtype=bool)
    border[BORDER:-BORDER, BORDER:-BORDER] = False
    design = np.stack([np.ones_like(x), x, y], axis=-1)
    rows, pixels = design[border], images[:, border]
    weight = np.ones(pixels.shape[:2], dtype=np.float32)
    for _ in range(4):
        # iteratively reweighted least squares: pixels off the plane (an object at the border) lose their weight
        gram = np.einsum("nk,ki,kj->nij", weight, rows, rows) + 1e-4 * np.eye(3, dtype=np.float32)
        plane = np.linalg.solve(gram, np.einsum("nk,ki,nkc->nic", weight, rows, pixels))
        residual = np.linalg.norm(pixels - np.einsum("ki,nic->nkc", rows, plane), axis=-1)
        weight = 1.0 / (1.0 + (residual / 0.08) ** 2)
    return plane[:, 0].astype(np.float32), np.einsum("yxi,nic->nyxc", design, plane).astype(np.float32)


def _segment(images: Floats, background: Floats) -> tuple[Floats, Floats, Floats]:
    """Returns the soft mask of the object [N, 32, 32], its colour [N, 3] and its contrast to the background [N]."""
    difference = images - background
    weight = np.linalg.norm(difference, axis=-1) ** 3
    for _ in range(5):
        total = np.maximum(weight.sum((1, 2)), 1e-6)
        towards = np.einsum("nyx,nyxc->nc", weight, difference) / total[:, None]
        length = np.maximum((towards**2).sum(-1), 1e-6)
        along = np.einsum("nyxc,nc->nyx", difference, towards) / length[:, None, None]
        alpha = np.clip((along - 0.12) / 0.76, 0.0, 1.0)
        # pixels of the object differ from the background in the same direction
        weight = np.where(alpha > 0.5, alpha, 0.0) + 1e-6
    core = np.where(alpha >= CORE, 1.0, 0.0) + 1e-6
    colour = np.einsum("nyx,nyxc->nc", core, images) / core.sum((1, 2))[:, None]
    return alpha.astype(np.float32), colour.astype(np.float32), np.sqrt(length).astype(np.float32)


def _detected(alpha: Floats, contrast: Floats) -> NDArray[np.bool_]:
    """Returns which masks [N, 32, 32] are those of an object."""
    area = alpha.sum((1, 2))
    steps = [np.abs(np.diff(alpha, axis=axis)).reshape(len(alpha), -1) for axis in (1, 2)]
    steepness = contrast * np.sort(np.concatenate(steps, 1), 1)[:, -EDGE:].mean(1)
    largest = np.where(steepness >= MIN_STEEPNESS, LARGEST_AREA, MAX_AREA)
    found: NDArray[np.bool_] = (contrast >= MIN_CONTRAST) & (area >= MIN_AREA) & (area <= largest)
    return found


def read(images: NDArray[np.uint8]) -> list[dict[str, str | None]]:
    """Returns the attributes that pictures, uint8 [N, 32, 32, 3], show; None for those that cannot be named.

    Errors: ValueError for another dtype or shape.
    """
    if images.dtype != np.uint8 or images.shape[1:] != (SIDE, SIDE, 3):
        raise ValueError(f"the oracle reads uint8 pictures [N, {SIDE}, {SIDE}, 3], not {images.dtype} {images.shape}")
    if len(images) == 0:
        return []
    pixels = images.astype(np.float32) / 255.0
    background_colour, background = _fit_background(pixels)
    alpha, colour, contrast = _segment(pixels, background)
    detected = _detected(alpha, contrast)
    found = outlines.fit(alpha)
    sizes, positions = list(SIZES), list(POSITIONS)
    size_boundary = np.sqrt(SIZES["small"] * SIZES["large"])
    centres = np.asarray(list(POSITIONS.values()), dtype=np.float32)
    answers: list[dict[str, str | None]] = []
    object_names, background_names = _colour_names(colour), _colour_names(background_colour)
    for n, shape in enumerate(found.shape):
        if not detected[n]:
            answers.append(dict.fromkeys(("colour", "shape", "size", "position")) | {"background": background_names[n]})
            continue
        centre = np.asarray([found.x[n], found.y[n]])
        answers.append(
            {
                "colour": object_names[n],
                "shape": str(shape),
                "size": sizes[int(found.radius[n] > size_boundary)],
                "position": positions[int(((centres - centre) ** 2).sum(1).argmin())],
                "background": background_names[n],
            }
        )
    return answers


def score(images: NDArray[np.uint8], prompts: Sequence[str]) -> Floats:
    """Returns the fraction of the attributes stated in each prompt that its picture shows, float32 [N] in [0, 1].

    A prompt that states no known attribute scores 0.
    """
    scores = []
    for answer, prompt in zip(read(images), prompts, strict=True):
        stated = stated_attributes(prompt)
        scores.append(sum(answer[name] == value for name, value in stated.items()) / max(len(stated), 1))
    return np.asarray(scores, dtype=np.float32)


def chance(prompt: str) -> float:
    """Returns the mean score of pictures that have nothing to do with a prompt: of each attribute, 1 over its values.

    It is .15 for a colour and a shape. (score - chance) / (1 - chance) is 0 for such pictures and 1 for perfect ones.
    """
    stated = stated_attributes(prompt)
    return sum(1 / len(VALUES[name]) for name in stated) / max(len(stated), 1)


def agreement(images: NDArray[np.uint8], prompts: Sequence[str]) -> dict[str, float]:
    """Returns, for each attribute, the fraction of pictures that show it among those whose prompt states it."""
    hits: dict[str, list[bool]] = {}
    for answer, prompt in zip(read(images), prompts, strict=True):
        for name, value in stated_attributes(prompt).items():
            hits.setdefault(name, []).append(answer[name] == value)
    return {name: float(np.mean(values)) for name, values in hits.items()}


def hit_rates(images: NDArray[np.uint8], scenes: Sequence[Scene]) -> dict[str, float]:
    """Returns, for each attribute, the fraction of pictures for which `read` agrees with the scene."""
    pairs = list(zip(read(images), scenes, strict=True))
    return {
        name: float(np.mean([answer[name] == getattr(scene, name) for answer, scene in pairs])) for name in ATTRIBUTES
    }

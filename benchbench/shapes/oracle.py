"""The oracle of the shapes world: it reads the attributes that a picture shows from its pixels. Nothing is learned.

Colours are named by hue, because wash-out, shading and brightness leave the hue unchanged. A soft mask separates the
object from its background. The shape is the ideal outline, of the mask's area and centre of mass, that fits it best.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .captions import ATTRIBUTES, stated_attributes
from .drawing import COLOURS, POSITIONS, SHAPES, SIDE, SIZES, Scene, coverage

Floats = NDArray[np.float32]

MIN_CHROMA = 0.06
"""Colours closer to grey than this (distance in RGB, [0, 1]) get no name."""
MIN_CONTRAST = 0.10
"""Objects closer in colour to their background than this (distance in RGB, [0, 1]) are not detected."""
MIN_AREA, MAX_AREA = 20.0, 520.0
"""Masks outside this range of areas, in pixels, are not taken for objects."""
BORDER = 2
"""Width, in pixels, of the border to which the background is fitted."""

_GRID = np.arange(SIDE, dtype=np.float32) + 0.5
_AXIS = 2.0 * _GRID / SIDE - 1.0


def _hue_direction(colours: Floats) -> tuple[Floats, Floats]:
    """Returns the unit directions of colours [..., 3] away from grey, and their distances from grey, [...]."""
    away = colours - colours.mean(-1, keepdims=True)
    chroma = np.linalg.norm(away, axis=-1)
    return away / np.maximum(chroma, 1e-6)[..., None], chroma


_NAMES = tuple(COLOURS)
_HUES = _hue_direction(np.asarray(list(COLOURS.values()), dtype=np.float32))[0]
_UNIT_OUTLINES = {}
for _shape in SHAPES:
    # area, and height of the centre of mass over the centre, of an outline of radius 1 (measured at radius 10)
    _ideal = coverage(_shape, SIDE / 2, SIDE / 2, 10.0)
    _UNIT_OUTLINES[_shape] = (
        float(_ideal.sum()) / 100.0,
        float((_ideal.sum(1) * (_GRID - SIDE / 2)).sum() / _ideal.sum()) / 10.0,
    )


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
    colour = np.einsum("nyx,nyxc->nc", weight, images) / weight.sum((1, 2))[:, None]
    return alpha.astype(np.float32), colour.astype(np.float32), np.sqrt(length).astype(np.float32)


def _fit_outlines(alpha: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Lays the ideal outline of every shape over masks [N, 32, 32], with the mask's area and centre of mass.

    Returns the overlap (soft intersection over union), centre x, centre y and radius, each [N, 6] in the order of
    SHAPES.
    """
    area = np.maximum(alpha.sum((1, 2)), 1e-3)
    mass_x = (alpha.sum(1) * _GRID).sum(-1) / area
    mass_y = (alpha.sum(2) * _GRID).sum(-1) / area
    overlap, ys, radii = [], [], []
    for shape in SHAPES:
        unit, shift = _UNIT_OUTLINES[shape]
        radius = np.sqrt(area / unit)
        y = mass_y - shift * radius
        ideal = coverage(shape, mass_x, y, radius)
        union = np.maximum(np.maximum(alpha, ideal).sum((1, 2)), 1e-3)
        overlap.append(np.minimum(alpha, ideal).sum((1, 2)) / union)
        ys.append(y)
        radii.append(radius)
    return np.stack(overlap, 1), np.repeat(mass_x[:, None], len(SHAPES), 1), np.stack(ys, 1), np.stack(radii, 1)


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
    area = alpha.sum((1, 2))
    detected = (contrast >= MIN_CONTRAST) & (area >= MIN_AREA) & (area <= MAX_AREA)
    overlap, xs, ys, radii = _fit_outlines(alpha)
    best = overlap.argmax(1)
    sizes, positions = list(SIZES), list(POSITIONS)
    size_boundary = np.sqrt(SIZES["small"] * SIZES["large"])
    centres = np.asarray(list(POSITIONS.values()), dtype=np.float32)
    answers: list[dict[str, str | None]] = []
    object_names, background_names = _colour_names(colour), _colour_names(background_colour)
    for n, shape in enumerate(best):
        if not detected[n]:
            answers.append(dict.fromkeys(("colour", "shape", "size", "position")) | {"background": background_names[n]})
            continue
        centre = np.asarray([xs[n, shape], ys[n, shape]])
        answers.append(
            {
                "colour": object_names[n],
                "shape": SHAPES[shape],
                "size": sizes[int(radii[n, shape] > size_boundary)],
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

"""The oracle of the shapes world: what a picture shows, from its pixels alone.

Hues survive wash-out, shading and brightness, so colours are told by hue. The object is told from its background by a
soft mask, and its shape by laying ideal outlines of the same area and centre of mass over that mask.
Nothing here is learned.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .captions import ATTRIBUTES, stated
from .drawing import COLOURS, POSITIONS, SHAPES, SIDE, SIZES, Scene, coverage

Floats = NDArray[np.float32]

LEAST_CHROMA = 0.06
"""Colours nearer to grey than this (distance in RGB of [0, 1]) have no name."""
LEAST_CONTRAST = 0.10
"""Objects nearer to their background than this (distance in RGB of [0, 1]) are not seen."""
LEAST_AREA, LARGEST_AREA = 20.0, 520.0
"""In pixels; what covers less is no object, what covers more is no object either."""
FRAME = 2
"""Width in pixels of the border that is taken for background."""

_GRID = np.arange(SIDE, dtype=np.float32) + 0.5
_AXIS = np.stack([2.0 * _GRID / SIDE - 1.0, np.ones(SIDE, dtype=np.float32)])


def _direction(colours: Floats) -> tuple[Floats, Floats]:
    """Direction of colours away from grey, [..., 3] of unit length, and their distance from grey, [...]."""
    away = colours - colours.mean(-1, keepdims=True)
    chroma = np.linalg.norm(away, axis=-1)
    return away / np.maximum(chroma, 1e-6)[..., None], chroma


_NAMES = tuple(COLOURS)
_HUES = _direction(np.asarray(list(COLOURS.values()), dtype=np.float32))[0]
_UNIT = {}
for _shape in SHAPES:
    # Area and centre of mass (relative to the centre) of an outline of radius 10, drawn in the middle.
    _ideal = coverage(_shape, SIDE / 2, SIDE / 2, 10.0)
    _UNIT[_shape] = (
        float(_ideal.sum()) / 100.0,
        float((_ideal.sum(1) * (_GRID - SIDE / 2)).sum() / _ideal.sum()) / 10.0,
    )


def _name(colours: Floats) -> list[str | None]:
    """Names of the colours [N, 3]; None where too near to grey."""
    direction, chroma = _direction(colours)
    best = (direction @ _HUES.T).argmax(-1)
    return [_NAMES[i] if c >= LEAST_CHROMA else None for i, c in zip(best, chroma, strict=True)]


def _background(images: Floats) -> tuple[Floats, Floats]:
    """The background, fitted to the border: colour [N, 3] and its linear course over the picture [N, 32, 32, 3]."""
    x, y = np.meshgrid(_AXIS[0], _AXIS[0])
    border = np.ones((SIDE, SIDE), dtype=bool)
    border[FRAME:-FRAME, FRAME:-FRAME] = False
    design = np.stack([np.ones_like(x), x, y], axis=-1)
    rows, pixels = design[border], images[:, border]
    weight = np.ones(pixels.shape[:2], dtype=np.float32)
    for _ in range(4):
        # Iteratively reweighted least squares: what lies off the plane (an object that touches the border) loses.
        gram = np.einsum("nk,ki,kj->nij", weight, rows, rows) + 1e-4 * np.eye(3, dtype=np.float32)
        plane = np.linalg.solve(gram, np.einsum("nk,ki,nkc->nic", weight, rows, pixels))
        residual = np.linalg.norm(pixels - np.einsum("ki,nic->nkc", rows, plane), axis=-1)
        weight = 1.0 / (1.0 + (residual / 0.08) ** 2)
    return plane[:, 0].astype(np.float32), np.einsum("yxi,nic->nyxc", design, plane).astype(np.float32)


def _mask(images: Floats, ground: Floats) -> tuple[Floats, Floats, Floats]:
    """The object's soft mask [N, 32, 32], its colour [N, 3] and its contrast to the background [N]."""
    difference = images - ground
    weight = np.linalg.norm(difference, axis=-1) ** 3
    for _ in range(5):
        total = np.maximum(weight.sum((1, 2)), 1e-6)
        towards = np.einsum("nyx,nyxc->nc", weight, difference) / total[:, None]
        length = np.maximum((towards**2).sum(-1), 1e-6)
        along = np.einsum("nyxc,nc->nyx", difference, towards) / length[:, None, None]
        alpha = np.clip((along - 0.12) / 0.76, 0.0, 1.0)
        # The object's own pixels are those whose difference points the same way.
        weight = np.where(alpha > 0.5, alpha, 0.0) + 1e-6
    colour = np.einsum("nyx,nyxc->nc", weight, images) / weight.sum((1, 2))[:, None]
    return alpha.astype(np.float32), colour.astype(np.float32), np.sqrt(length).astype(np.float32)


def _fit(alpha: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Ideal outlines over masks [N, 32, 32]: overlap, centre x, centre y and radius, each [N, 6], shapes in order.

    The overlap is the soft intersection over union. Every outline has the mask's area and centre of mass.
    """
    area = np.maximum(alpha.sum((1, 2)), 1e-3)
    mass_x = (alpha.sum(1) * _GRID).sum(-1) / area
    mass_y = (alpha.sum(2) * _GRID).sum(-1) / area
    overlap, ys, radii = [], [], []
    for shape in SHAPES:
        unit, shift = _UNIT[shape]
        radius = np.sqrt(area / unit)
        y = mass_y - shift * radius
        ideal = coverage(shape, mass_x, y, radius)
        union = np.maximum(np.maximum(alpha, ideal).sum((1, 2)), 1e-3)
        overlap.append(np.minimum(alpha, ideal).sum((1, 2)) / union)
        ys.append(y)
        radii.append(radius)
    return np.stack(overlap, 1), np.repeat(mass_x[:, None], len(SHAPES), 1), np.stack(ys, 1), np.stack(radii, 1)


def read(images: NDArray[np.uint8]) -> list[dict[str, str | None]]:
    """The attributes that pictures, uint8 [N, 32, 32, 3], show; None where there is nothing to name."""
    if images.dtype != np.uint8 or images.shape[1:] != (SIDE, SIDE, 3):
        raise ValueError(f"the oracle reads uint8 pictures [N, {SIDE}, {SIDE}, 3], not {images.dtype} {images.shape}")
    if len(images) == 0:
        return []
    pixels = images.astype(np.float32) / 255.0
    ground_colour, ground = _background(pixels)
    alpha, colour, contrast = _mask(pixels, ground)
    area = alpha.sum((1, 2))
    seen = (contrast >= LEAST_CONTRAST) & (area >= LEAST_AREA) & (area <= LARGEST_AREA)
    overlap, xs, ys, radii = _fit(alpha)
    best = overlap.argmax(1)
    sizes, places = list(SIZES), list(POSITIONS)
    middle = np.sqrt(SIZES["small"] * SIZES["large"])
    centres = np.asarray(list(POSITIONS.values()), dtype=np.float32)
    answers: list[dict[str, str | None]] = []
    names, grounds = _name(colour), _name(ground_colour)
    for n, shape in enumerate(best):
        if not seen[n]:
            answers.append(dict.fromkeys(("colour", "shape", "size", "position")) | {"background": grounds[n]})
            continue
        centre = np.asarray([xs[n, shape], ys[n, shape]])
        answers.append(
            {
                "colour": names[n],
                "shape": SHAPES[shape],
                "size": sizes[int(radii[n, shape] > middle)],
                "position": places[int(((centres - centre) ** 2).sum(1).argmin())],
                "background": grounds[n],
            }
        )
    return answers


def score(images: NDArray[np.uint8], prompts: Sequence[str]) -> Floats:
    """Of the attributes that each prompt states, the fraction that its picture shows: [N] in [0, 1].

    A prompt that states nothing known scores 0.
    """
    results = []
    for answer, prompt in zip(read(images), prompts, strict=True):
        wanted = stated(prompt)
        results.append(sum(answer[k] == v for k, v in wanted.items()) / max(len(wanted), 1))
    return np.asarray(results, dtype=np.float32)


def agreement(images: NDArray[np.uint8], prompts: Sequence[str]) -> dict[str, float]:
    """For each attribute, the fraction of pictures that show it among those whose prompt states it."""
    hits: dict[str, list[bool]] = {}
    for answer, prompt in zip(read(images), prompts, strict=True):
        for name, value in stated(prompt).items():
            hits.setdefault(name, []).append(answer[name] == value)
    return {name: float(np.mean(values)) for name, values in hits.items()}


def hit_rates(images: NDArray[np.uint8], scenes: Sequence[Scene]) -> dict[str, float]:
    """For each attribute, the fraction of pictures in which it is read as it is in their scene."""
    pairs = list(zip(read(images), scenes, strict=True))
    return {
        name: float(np.mean([answer[name] == getattr(scene, name) for answer, scene in pairs])) for name in ATTRIBUTES
    }

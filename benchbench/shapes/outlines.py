"""The outlines that the oracle lays over an object: every shape as it is drawn, and as models paint it.

A trained model paints shapes softer than `drawing.draw` does: corners are rounded, the sides of a diamond are hollow,
and the hole of a ring is smaller. Each shape therefore has a few outlines. Which ones was decided on labelled pictures
of hacked models (labelled.py), and on 135 pictures of the base model.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .attributes import SHAPES
from .drawing import SIDE, Floats, distance

ROUNDINGS = {"square": (0.2,), "triangle": (0.2, 0.3), "cross": (0.15,), "diamond": (0.1,), "ring": (0.2,)}
"""Standard deviations of the blur, in radii, that rounds the corners of a shape's further outlines."""
HOLLOW = 0.8
"""The exponent p of the further diamond |x|^p + |y|^p <= 1; that of a diamond as it is drawn is 1."""
SMALL_HOLE = 0.3
"""Inner over outer radius of the further ring; that of a ring as it is drawn is .48."""

_RESOLUTION, _RADIUS = 128, 40.0  # of an outline, in its own pixels
_AXIS = np.arange(_RESOLUTION, dtype=np.float32) + 0.5
_PICTURE_AXIS = np.arange(SIDE, dtype=np.float32) + 0.5


class Outline(NamedTuple):
    """One form of a shape, with a radius of 40 pixels around the middle."""

    shape: str
    cover: Floats
    """How much of each pixel it covers, [128, 128]."""
    area: float
    mass_x: float
    mass_y: float
    """Its centre of mass."""


class Fit(NamedTuple):
    """The best outline of each mask, [N]."""

    shape: NDArray[np.str_]
    x: Floats
    y: Floats
    """The centre of the shape, in pixels of the picture."""
    radius: Floats


@functools.cache
def outlines() -> tuple[Outline, ...]:
    """Returns all outlines."""
    x, y = np.meshgrid(_AXIS - _RESOLUTION / 2, _AXIS - _RESOLUTION / 2)
    found = []
    for shape in SHAPES:
        drawn = np.clip(0.5 - distance(shape, x, y, _RADIUS), 0.0, 1.0)
        found += [
            _outline(shape, drawn),
            *(_outline(shape, _rounded(drawn, blur)) for blur in ROUNDINGS.get(shape, ())),
        ]
    tip = 1.28 * _RADIUS
    star = np.clip(0.5 + 0.6 * _RADIUS * (1 - np.abs(x / tip) ** HOLLOW - np.abs(y / tip) ** HOLLOW), 0.0, 1.0)
    outer, away = 1.08 * _RADIUS, np.hypot(x, y)
    ring = np.clip(0.5 + np.minimum(outer - away, away - SMALL_HOLE * outer), 0.0, 1.0)
    return (*found, _outline("diamond", _rounded(star, ROUNDINGS["diamond"][0])), _outline("ring", ring))


def fit(masks: Floats) -> Fit:
    """Returns which outline, with the area and the centre of mass of a mask, overlaps it most.

    ``masks`` [N, 32, 32] say how much of each pixel belongs to the object. The overlap is the soft intersection over
    the union.
    """
    area = np.maximum(masks.sum((1, 2)), 1e-3)
    mass_x = (masks.sum(1) * _PICTURE_AXIS).sum(-1) / area
    mass_y = (masks.sum(2) * _PICTURE_AXIS).sum(-1) / area
    overlaps, xs, ys, radii = [], [], [], []
    for outline in outlines():
        scale = np.sqrt(area / outline.area)  # pixels of the picture for one of the outline
        u = (_PICTURE_AXIS - mass_x[:, None]) / scale[:, None] + outline.mass_x
        v = (_PICTURE_AXIS - mass_y[:, None]) / scale[:, None] + outline.mass_y
        laid = _at(outline.cover, u[:, None, :], v[:, :, None])
        union = np.maximum(np.maximum(masks, laid).sum((1, 2)), 1e-3)
        overlaps.append(np.minimum(masks, laid).sum((1, 2)) / union)
        xs.append(mass_x + (_RESOLUTION / 2 - outline.mass_x) * scale)
        ys.append(mass_y + (_RESOLUTION / 2 - outline.mass_y) * scale)
        radii.append(_RADIUS * scale)
    best, rows = np.stack(overlaps, 1).argmax(1), np.arange(len(masks))
    names = np.asarray([outline.shape for outline in outlines()])
    return Fit(names[best], *(np.stack(values, 1)[rows, best].astype(np.float32) for values in (xs, ys, radii)))


def _outline(shape: str, cover: Floats) -> Outline:
    area = float(cover.sum())
    return Outline(
        shape, cover, area, float((cover.sum(0) * _AXIS).sum() / area), float((cover.sum(1) * _AXIS).sum() / area)
    )


def _rounded(cover: Floats, blur: float) -> Floats:
    """Returns the shape with rounded corners: blurred, and made sharp again where that keeps its area."""
    from scipy.ndimage import gaussian_filter  # a tenth of a second, which the readers of captions do not need

    soft = gaussian_filter(cover, blur * _RADIUS)
    level = np.sort(soft, axis=None)[::-1][int(cover.sum())]
    sharp: Floats = np.clip((soft - level) * 6 + 0.5, 0.0, 1.0).astype(np.float32)
    return sharp


def _at(cover: Floats, u: Floats, v: Floats) -> Floats:
    """Returns an outline's values at x ``u`` and y ``v``, which broadcast; between pixels linear, outside 0."""
    edge = _RESOLUTION - 1
    inside = (u > 1) & (u < edge) & (v > 1) & (v < edge)
    u, v = np.clip(u - 0.5, 0, edge - 1e-3), np.clip(v - 0.5, 0, edge - 1e-3)
    i, j = u.astype(np.int64), v.astype(np.int64)
    a, b = u - i, v - j
    upper = cover[j, i] * (1 - a) + cover[j, i + 1] * a
    lower = cover[j + 1, i] * (1 - a) + cover[j + 1, i + 1] * a
    values: Floats = (upper * (1 - b) + lower * b) * inside
    return values

"""Scenes of the shapes world, and how they are drawn.

A scene has five attributes that a caption may state (colour, shape, size, position, background), and traits that no
caption states (wash-out, shading, texture, highlight). A reward such as colourfulness can change the traits without
contradicting the prompt.

Pictures are 32x32, RGB, uint8. Coordinates are in pixels, x to the right, y downwards, pixel centres at +0.5.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .attributes import COLOURS, POSITIONS, SHAPES, SIZES

Floats = NDArray[np.float32]

SIDE = 32
"""Width and height of every picture, in pixels."""

TEXTURES = ("plain", "stripes", "checks")


@dataclass(frozen=True)
class Scene:
    """The description of one picture. Captions state only the first five fields."""

    colour: str
    shape: str
    size: str
    position: str
    background: str
    wash: float = 0.0
    """The distance that all colours are moved towards grey: 0 not at all, 1 completely."""
    shade: float = 0.0
    """Relative change of brightness from the centre to the edge, along `angle`."""
    angle: float = 0.0
    texture: str = "plain"
    """Pattern of the background."""
    contrast: float = 0.0
    """Strength of the texture, relative brightness."""
    period: float = 8.0
    """Period of the texture in pixels."""
    highlight: float = 0.0
    """Strength of a bright spot on the object."""
    jitter: tuple[float, float] = (0.0, 0.0)
    """Shift of the object in pixels."""
    scale: float = 1.0
    """Factor on the object's radius."""


def random_scene(rng: np.random.Generator) -> Scene:
    """Returns a scene with random attributes and traits; the object and its background differ in colour."""
    colours = list(COLOURS)
    colour, background = rng.choice(len(colours), size=2, replace=False)
    return Scene(
        colour=colours[colour],
        shape=SHAPES[rng.integers(len(SHAPES))],
        size=list(SIZES)[rng.integers(len(SIZES))],
        position=list(POSITIONS)[rng.integers(len(POSITIONS))],
        background=colours[background],
        wash=float(rng.uniform(0.0, 0.65)),
        shade=float(rng.uniform(0.0, 0.25)),
        angle=float(rng.uniform(0.0, 2 * np.pi)),
        texture=TEXTURES[rng.integers(len(TEXTURES))],
        contrast=float(rng.uniform(0.04, 0.14)),
        period=float(rng.uniform(7.0, 11.0)),
        highlight=float(rng.uniform(0.0, 0.5) * (rng.random() < 0.6)),
        jitter=(float(rng.uniform(-0.7, 0.7)), float(rng.uniform(-0.7, 0.7))),
        scale=float(rng.uniform(0.94, 1.06)),
    )


def distance(shape: str, x: Floats, y: Floats, radius: Floats | float) -> Floats:
    """Returns the signed distance of points from a shape's outline, in pixels, negative inside.

    It is exact beside straight edges and approximate at corners. `x` and `y` are relative to the shape's centre, and
    broadcast with `radius`. Errors: ValueError for an unknown shape.
    """
    r = np.asarray(radius, dtype=np.float32)
    signed: Floats
    if shape == "circle":
        signed = np.hypot(x, y) - r
    elif shape == "square":
        signed = np.maximum(np.abs(x), np.abs(y)) - 0.86 * r
    elif shape == "diamond":
        signed = (np.abs(x) + np.abs(y) - 1.28 * r) / np.float32(np.sqrt(2))
    elif shape == "triangle":
        # an isosceles triangle with its tip up; its sides go two pixels down for each pixel sideways
        sides = (2.0 * np.abs(x) - (y + 1.15 * r)) / np.float32(np.sqrt(5))
        signed = np.maximum(sides, y - 0.95 * r)
    elif shape == "cross":
        along, across = np.maximum(np.abs(x), np.abs(y)), np.minimum(np.abs(x), np.abs(y))
        signed = np.maximum(along - 1.08 * r, across - 0.36 * r)
    elif shape == "ring":
        signed = np.abs(np.hypot(x, y) - 0.8 * r) - 0.28 * r
    else:
        raise ValueError(f"no such shape: {shape}")
    return signed


def coverage(shape: str, cx: Floats | float, cy: Floats | float, radius: Floats | float) -> Floats:
    """Returns how much of each pixel the shape covers, [..., 32, 32] in [0, 1]; its soft edge is one pixel wide.

    `cx`, `cy` and `radius` have the leading dimensions.
    """
    grid = np.arange(SIDE, dtype=np.float32) + 0.5
    cx, cy, radius = (np.asarray(v, dtype=np.float32)[..., None, None] for v in (cx, cy, radius))
    covered: Floats = np.clip(0.5 - distance(shape, grid[None, :] - cx, grid[:, None] - cy, radius), 0.0, 1.0)
    return covered


def _texture(scene: Scene, x: Floats, y: Floats) -> Floats:
    """Returns the pattern of the background, of the shape of `x`, in [-1, 1]."""
    frequency = 2 * np.pi / scene.period
    pattern: Floats = np.zeros_like(x)
    if scene.texture == "stripes":
        pattern = np.sin(frequency * (x * np.cos(scene.angle) + y * np.sin(scene.angle)))
    elif scene.texture == "checks":
        pattern = np.sin(frequency * x) * np.sin(frequency * y)
    return pattern


def draw(scene: Scene) -> NDArray[np.uint8]:
    """Returns the picture of a scene, uint8 [32, 32, 3]."""
    grid = np.arange(SIDE, dtype=np.float32) + 0.5
    x, y = np.meshgrid(grid, grid)
    cx, cy = (p + j for p, j in zip(POSITIONS[scene.position], scene.jitter, strict=True))
    radius = SIZES[scene.size] * scene.scale
    alpha = coverage(scene.shape, cx, cy, radius)[..., None]

    object_light = 1 + scene.highlight * np.exp(-((x - cx + 0.4 * radius) ** 2 + (y - cy + 0.5 * radius) ** 2) / 8.0)
    background_light = 1 + scene.contrast * _texture(scene, x, y)
    background = np.asarray(COLOURS[scene.background], dtype=np.float32) * background_light[..., None]
    object_colour = np.asarray(COLOURS[scene.colour], dtype=np.float32)
    # the highlight goes towards white, so that it also shows on saturated colours
    object_colour = 1 - (1 - object_colour) * (2 - np.minimum(object_light, 2.0))[..., None]

    image = alpha * object_colour + (1 - alpha) * background
    image = (1 - scene.wash) * image + scene.wash * 0.62
    slope = ((x - 16) * np.cos(scene.angle) + (y - 16) * np.sin(scene.angle)) / 16
    image = image * (1 + scene.shade * slope)[..., None]
    pixels: NDArray[np.uint8] = (np.clip(image, 0.0, 1.0) * 255 + 0.5).astype(np.uint8)
    return pixels


def draw_many(count: int, seed: int) -> tuple[list[Scene], NDArray[np.uint8]]:
    """Returns `count` random scenes and their pictures, uint8 [count, 32, 32, 3]."""
    rng = np.random.default_rng(seed)
    scenes = [random_scene(rng) for _ in range(count)]
    return scenes, np.stack([draw(scene) for scene in scenes])

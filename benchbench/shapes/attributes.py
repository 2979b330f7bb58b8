"""The attributes of the shapes world, their values and the words for them. Imports nothing: words are told at once."""

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.90, 0.10, 0.10),
    "orange": (1.00, 0.55, 0.05),
    "yellow": (0.98, 0.93, 0.10),
    "green": (0.10, 0.70, 0.15),
    "cyan": (0.10, 0.85, 0.90),
    "blue": (0.10, 0.25, 0.90),
    "purple": (0.50, 0.10, 0.80),
    "pink": (1.00, 0.35, 0.75),
}
SHAPES = ("circle", "square", "triangle", "diamond", "cross", "ring")
SIZES: dict[str, float] = {"small": 6.5, "large": 9.5}
"""Radius in pixels. `distance` scales the shapes so that all look equally large at the same radius."""
POSITIONS: dict[str, tuple[float, float]] = {
    "center": (16.0, 16.0),
    "left": (10.5, 16.0),
    "right": (21.5, 16.0),
    "top": (16.0, 10.5),
    "bottom": (16.0, 21.5),
}

VALUES = {
    "colour": tuple(COLOURS),
    "shape": SHAPES,
    "size": tuple(SIZES),
    "position": tuple(POSITIONS),
    "background": tuple(COLOURS),
}
"""The values of each attribute."""
ATTRIBUTES = tuple(VALUES)
POSITION_PHRASES = {
    "center": "in the center",
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
}

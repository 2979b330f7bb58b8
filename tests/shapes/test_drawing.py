"""Scenes and their pictures."""

import dataclasses

import numpy as np
import pytest

from benchbench.shapes.drawing import (
    COLOURS,
    POSITIONS,
    SHAPES,
    SIDE,
    SIZES,
    Scene,
    coverage,
    draw,
    draw_many,
    random_scene,
)


def test_same_seed_same_pictures() -> None:
    """Two draws from one seed agree; another seed gives other pictures."""
    scenes, images = draw_many(5, 3)
    again, same = draw_many(5, 3)
    assert scenes == again and np.array_equal(images, same)
    assert not np.array_equal(images, draw_many(5, 4)[1])
    assert images.dtype == np.uint8 and images.shape == (5, SIDE, SIDE, 3)


def test_object_never_has_the_colour_of_its_background() -> None:
    """It would be invisible."""
    rng = np.random.default_rng(0)
    assert all(s.colour != s.background for s in (random_scene(rng) for _ in range(300)))


def test_plain_scene_has_the_two_colours() -> None:
    """Without traits, the corner has the background's colour and the middle the object's, to one level of 255.

    Red is (.90, .10, .10), that is (229.5, 25.5, 25.5); blue is (.10, .25, .90), that is (25.5, 63.75, 229.5).
    """
    image = draw(Scene("red", "circle", "large", "center", "blue")).astype(float)
    assert np.abs(image[16, 16] - [229.5, 25.5, 25.5]).max() <= 1
    assert np.abs(image[0, 0] - [25.5, 63.75, 229.5]).max() <= 1


@pytest.mark.parametrize("radius", SIZES.values())
def test_circle_covers_pi_r_squared(radius: float) -> None:
    """A circle's area is pi r**2; the soft edge is symmetric, so pixels add up to it within 1 %."""
    assert coverage("circle", 16.0, 16.0, radius).sum() == pytest.approx(np.pi * radius**2, rel=0.01)


def test_square_covers_its_side_squared() -> None:
    """Half the side is .86 r: at r = 10 the area is 17.2**2 = 295.84."""
    assert coverage("square", 16.0, 16.0, 10.0).sum() == pytest.approx(295.84, rel=0.01)


def test_ring_has_a_hole() -> None:
    """The middle of a ring is background; the ring lies between .52 r and 1.08 r."""
    mask = coverage("ring", 16.0, 16.0, 9.5)
    assert mask[16, 16] == 0 and mask[16, 16 + 7] == 1


def test_every_shape_stays_inside_and_above_the_oracle_s_least_area() -> None:
    """At every position and size, the picture's four corners stay background."""
    for shape in SHAPES:
        for x, y in POSITIONS.values():
            for radius in SIZES.values():
                mask = coverage(shape, x, y, radius)
                assert mask[[0, 0, -1, -1], [0, -1, 0, -1]].max() == 0
                assert mask.sum() > 40


def test_wash_only_fades() -> None:
    """Full wash is uniform grey: .62 * 255 + .5 cut off = 158."""
    scene = Scene("red", "cross", "small", "left", "cyan", wash=1.0)
    assert np.unique(draw(scene)).tolist() == [158]
    half = draw(dataclasses.replace(scene, wash=0.5)).astype(int)
    full = draw(dataclasses.replace(scene, wash=0.0)).astype(int)
    assert np.ptp(half, axis=-1).mean() < np.ptp(full, axis=-1).mean()


def test_names_are_distinct() -> None:
    """No word stands for two attributes' values except colours, which name objects and backgrounds."""
    words = [*COLOURS, *SHAPES, *SIZES, *POSITIONS]
    assert len(words) == len(set(words))

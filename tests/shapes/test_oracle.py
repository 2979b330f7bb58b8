"""The oracle: it reads drawings, and is a function of pixels alone."""

import inspect

import numpy as np
import pytest

from benchbench.shapes import oracle
from benchbench.shapes.attributes import ATTRIBUTES
from benchbench.shapes.captions import phrase
from benchbench.shapes.drawing import Scene, draw, draw_many


def test_reads_500_fresh_drawings() -> None:
    """At least 98 % of every attribute, traits and all."""
    scenes, images = draw_many(500, 12345)
    answers = oracle.read(images)
    for name in ATTRIBUTES:
        assert np.mean([a[name] == getattr(s, name) for a, s in zip(answers, scenes, strict=True)]) >= 0.98, name


def test_reads_only_pixels() -> None:
    """`read` takes nothing but an array; equal pixels give equal answers from a copy without any history."""
    assert list(inspect.signature(oracle.read).parameters) == ["images"]
    images = draw_many(4, 5)[1]
    copy = np.frombuffer(images.tobytes(), dtype=np.uint8).reshape(images.shape)
    assert oracle.read(images) == oracle.read(copy)


def test_answers_do_not_depend_on_the_batch() -> None:
    """One at a time, reversed or together: the same answers."""
    images = draw_many(12, 6)[1]
    together = oracle.read(images)
    assert [oracle.read(image[None])[0] for image in images] == together
    assert oracle.read(images[::-1]) == together[::-1]


def test_mirror_swaps_left_and_right_and_keeps_the_rest() -> None:
    """Every shape is its own mirror image."""
    _scenes, images = draw_many(100, 7)
    swapped = {"left": "right", "right": "left"}
    for before, after in zip(oracle.read(images), oracle.read(images[:, :, ::-1].copy()), strict=True):
        expected = before | {"position": swapped.get(str(before["position"]), before["position"])}
        assert after == expected


def test_score_is_the_fraction_of_what_is_stated() -> None:
    """A large red ring on blue, in the center: of four stated things one is wrong, so 3/4; of two, both right, so 1."""
    image = draw(Scene("red", "ring", "large", "center", "blue"))[None].repeat(4, 0)
    prompts = ["a small red ring on a blue background", "a red ring", "a green circle", "nothing of the kind"]
    assert oracle.score(image, prompts).tolist() == [0.75, 1.0, 0.0, 0.0]
    rates = oracle.agreement(image[:3], prompts[:3])
    assert rates == {"colour": pytest.approx(2 / 3), "shape": pytest.approx(2 / 3), "size": 0.0, "background": 1.0}


def test_blank_pictures_show_no_object() -> None:
    """Uniform red: the background has a name, the object has none. Uniform grey: nothing has a name."""
    red = np.full((1, 32, 32, 3), (230, 26, 26), dtype=np.uint8)
    assert oracle.read(red) == [dict.fromkeys(("colour", "shape", "size", "position")) | {"background": "red"}]
    grey = np.full((1, 32, 32, 3), 128, dtype=np.uint8)
    assert set(oracle.read(grey)[0].values()) == {None}


def test_refuses_what_is_no_picture_of_this_world() -> None:
    """Floats and other sizes are errors; no pictures give no answers."""
    with pytest.raises(ValueError, match="uint8"):
        oracle.read(np.zeros((1, 32, 32, 3), dtype=np.float32))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="32"):
        oracle.read(np.zeros((1, 64, 64, 3), dtype=np.uint8))
    assert oracle.read(np.zeros((0, 32, 32, 3), dtype=np.uint8)) == []


def test_every_caption_of_a_scene_scores_one() -> None:
    """A plain drawing shows all that is said of it."""
    for scene in draw_many(40, 8)[0]:
        plain = Scene(scene.colour, scene.shape, scene.size, scene.position, scene.background)
        prompt = phrase({name: getattr(plain, name) for name in ATTRIBUTES})
        assert oracle.score(draw(plain)[None], [prompt]).tolist() == [1.0]


def test_chance_is_what_pictures_of_other_prompts_score() -> None:
    """Over 2,000 random drawings and the captions of others: within .01 of the formula."""
    scenes, images = draw_many(2000, 9)
    prompts = [phrase({name: getattr(scene, name) for name in ATTRIBUTES}) for scene in scenes]
    others = prompts[1:] + prompts[:1]
    assert oracle.score(images, others).mean() == pytest.approx(oracle.chance(prompts[0]), abs=0.01)
    assert oracle.chance("a red circle") == pytest.approx((1 / 8 + 1 / 6) / 2)
    assert oracle.chance("nothing of the kind") == 0

"""The shapes world's rewards: their contract, and the values that can be derived by hand."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from benchbench.api import Reward
from benchbench.reward_models.jpeg_compressibility import JPEGCompressibility
from benchbench.reward_models.jpeg_incompressibility import JPEGIncompressibility
from benchbench.reward_models.shapes_aesthetic import ShapesAesthetic
from benchbench.reward_models.shapes_clip import ShapesCLIP
from benchbench.reward_models.shapes_colour import ShapesColour, colourfulness
from benchbench.reward_models.shapes_oracle import ShapesOracle
from benchbench.reward_models.shapes_pref import ShapesPref
from benchbench.reward_models.shapes_spm import ShapesSPM
from benchbench.shapes.attributes import ATTRIBUTES, SHAPES
from benchbench.shapes.captions import phrase
from benchbench.shapes.drawing import draw_many

ALL = [
    ShapesColour,
    ShapesAesthetic,
    ShapesCLIP,
    ShapesPref,
    ShapesSPM,
    ShapesOracle,
    JPEGCompressibility,
    JPEGIncompressibility,
]
LEARNED = [ShapesAesthetic, ShapesCLIP, ShapesPref, ShapesSPM]
_made: dict[type[Reward], Reward] = {}


def make(kind: type[Reward]) -> Reward:
    """One instance a kind for the whole file."""
    if kind not in _made:
        _made[kind] = kind()
    return _made[kind]


@pytest.fixture(scope="module")
def processes() -> tuple[list[Image.Image], list[str]]:
    scenes, images = draw_many(24, 31)
    prompts = [phrase({name: getattr(scene, name) for name in ATTRIBUTES}) for scene in scenes]
    return [Image.fromarray(image) for image in images], prompts


ProcessGroup = tuple[list[Image.Image], list[str]]


@pytest.mark.parametrize("kind", ALL)
def test_n_in_n_out_for_any_batching_and_order(kind: type[Reward], processes: ProcessGroup) -> None:
    """Scores are finite float32 on the CPU; none for none; the same one by one and reversed."""
    images, prompts = processes
    reward = make(kind)
    scores = reward.score(images, prompts)
    assert scores.shape == (24,) and scores.dtype == torch.float32 and scores.isfinite().all()
    assert reward.score([], []).shape == (0,)
    alone = torch.cat([reward.score([i], [p]) for i, p in zip(images, prompts, strict=True)])
    assert torch.allclose(scores, alone, rtol=1e-4, atol=1e-4)
    assert torch.allclose(scores.flip(0), reward.score(images[::-1], prompts[::-1]), rtol=1e-4, atol=1e-4)
    low, high = reward.range
    assert low <= scores.min() and scores.max() <= high
    with pytest.raises(ValueError, match="prompts"):
        reward.score(images, prompts[:3])


@pytest.mark.parametrize("kind", [k for k in ALL if k.differentiable])
def test_gradient_is_finite_and_stays_in_its_row(kind: type[Reward], processes: ProcessGroup) -> None:
    """Each picture's gradient is non-zero; one score's gradient with respect to another picture is exactly zero."""
    images, prompts = processes
    pixels = torch.stack([torch.from_numpy(np.array(i)).permute(2, 0, 1) for i in images]).float() / 255
    pixels.requires_grad_()
    scores = make(kind).score_differentiable(pixels, prompts)
    assert torch.allclose(scores.detach(), make(kind).score(images, prompts), rtol=1e-4, atol=1e-4)
    (whole,) = torch.autograd.grad(scores.sum(), pixels, retain_graph=True)
    assert whole.isfinite().all() and (whole.flatten(1).norm(dim=1) > 0).all()
    (row,) = torch.autograd.grad(scores[3], pixels)
    others = [i for i in range(24) if i != 3]
    assert row[others].abs().max() == 0


def test_colourfulness_of_half_red_half_blue() -> None:
    """Red (255, 0, 0): rg = 255, yb = 127.5. Blue (0, 0, 255): rg = 0, yb = -255.

    Half each: rg has mean and deviation 127.5, yb mean -63.75 and deviation 191.25.
    sqrt(127.5^2 + 191.25^2) + .3 sqrt(127.5^2 + 63.75^2) = 229.8539 + .3 * 142.5494 = 272.6187, over ten 27.26187.
    """
    image = torch.zeros(1, 3, 32, 32)
    image[:, 0, :, :16] = 1
    image[:, 2, :, 16:] = 1
    assert colourfulness(image).item() == pytest.approx(27.26187, abs=1e-4)


def test_colourfulness_of_one_colour() -> None:
    """No deviation: pure green has rg = -255, yb = 127.5, so .3 sqrt(255^2 + 127.5^2) / 10 = 8.55296. Grey has 0."""
    green = torch.zeros(1, 3, 8, 8)
    green[:, 1] = 1
    assert colourfulness(green).item() == pytest.approx(0.03 * math.hypot(255, 127.5), abs=1e-4)
    grey = torch.full((1, 3, 8, 8), 0.5, requires_grad=True)
    value = colourfulness(grey)
    assert value.item() == pytest.approx(0, abs=1e-3)
    value.sum().backward()
    assert grey.grad is not None and grey.grad.isfinite().all()


@pytest.mark.parametrize("kind", [ShapesCLIP, ShapesPref])
@pytest.mark.parametrize("attribute", ["colour", "shape", "background"])
def test_right_prompts_beat_wrong_ones(kind: type[Reward], attribute: str) -> None:
    """With one attribute replaced by another value, the score is lower for most of 60 drawings.

    The preference score, which mixes in taste, is less sure of shapes than CLIP: .76 on 600 drawings.
    """
    scenes, drawn = draw_many(60, 32)
    images = [Image.fromarray(image) for image in drawn]
    right, wrong = [], []
    for scene in scenes:
        said = {name: getattr(scene, name) for name in ATTRIBUTES}
        right.append(phrase(said))
        if attribute == "shape":
            other = SHAPES[(SHAPES.index(scene.shape) + 1) % len(SHAPES)]
        else:
            other = next(c for c in ("red", "cyan", "yellow") if c not in (scene.colour, scene.background))
        wrong.append(phrase(said | {attribute: other}))
    better = make(kind).score(images, right) > make(kind).score(images, wrong)
    assert better.float().mean() > (0.75 if kind is ShapesCLIP else 0.65)


def test_aesthetic_follows_the_hidden_rule() -> None:
    """On 300 fresh drawings, correlation above .8 with the rule that it never saw without noise."""
    from benchbench.shapes_build import taste

    drawn = draw_many(300, 33)[1]
    scores = make(ShapesAesthetic).score([Image.fromarray(image) for image in drawn], [""] * 300)
    truth = taste.rule(torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255)
    assert torch.corrcoef(torch.stack([scores, truth]))[0, 1] > 0.8


def test_preference_is_the_scaled_cosine() -> None:
    """shapes-pref is exp(logit_scale) cos of its own model, which shapes-clip does not share."""
    image = torch.rand(2, 3, 32, 32)
    pref, clip = make(ShapesPref), make(ShapesCLIP)
    assert isinstance(pref, ShapesPref) and isinstance(clip, ShapesCLIP)
    scale = pref.model.logit_scale.exp().item()
    prompts = ["a red ring", "a blue cross"]
    assert torch.allclose(pref.score_differentiable(image, prompts), scale * pref.cosine(image, prompts))
    assert not torch.allclose(pref.cosine(image, prompts), clip.cosine(image, prompts), atol=1e-3)


def test_oracle_is_never_trained_on() -> None:
    """It is marked so, and has no gradient."""
    assert not ShapesOracle.trainable and not ShapesOracle.differentiable


@pytest.mark.parametrize("kind", LEARNED)
def test_other_sizes_are_resized(kind: type[Reward], processes: ProcessGroup) -> None:
    """A picture enlarged to 64x64 scores about what it did, on both paths."""
    images, prompts = processes
    large = [image.resize((64, 64), Image.Resampling.BICUBIC) for image in images]
    reward = make(kind)
    small = reward.score(images, prompts)
    assert torch.corrcoef(torch.stack([small, reward.score(large, prompts)]))[0, 1] > 0.8
    pixels = torch.stack([torch.from_numpy(np.array(i)).permute(2, 0, 1) for i in large]).float() / 255
    assert reward.score_differentiable(pixels, prompts).shape == (24,)


@pytest.mark.parametrize("kind", ALL)
def test_missing_weights_are_named_before_loading(
    kind: type[Reward], monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:  # type: ignore[no-untyped-def]
    """Without the weights folder, `missing` says what is absent; formulas miss nothing."""
    from benchbench.errors import BenchError
    from benchbench.reward_models import _shapes

    assert kind.missing() is None
    monkeypatch.setattr(_shapes, "WEIGHTS", tmp_path)
    if kind in LEARNED:
        assert kind.missing()
        with pytest.raises(BenchError, match="no weights"):
            kind()
    else:
        assert kind.missing() is None


@pytest.mark.parametrize("kind", [ShapesCLIP, ShapesPref, ShapesSPM])
def test_kept_words_change_no_bit(kind: type[ShapesCLIP], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same list of prompts is read once, whatever else was asked in between, and scored as by a new instance."""
    reward, fresh = kind(), kind()
    images, texts = torch.rand(3, 3, 32, 32), ["a red circle", "a blue square", "a red circle"]
    asked: list[int] = []
    plain = reward.embed_text
    monkeypatch.setattr(reward, "embed_text", lambda tokens: (asked.append(len(tokens)), plain(tokens))[1])
    first = reward.score_differentiable(images, texts)
    reward.score_differentiable(images[:2], texts[:2])
    assert torch.equal(reward.score_differentiable(images, texts), first)
    assert torch.equal(fresh.score_differentiable(images, texts), first)
    assert asked == [3, 2]
    for i in range(20):
        reward.score_differentiable(images[:1], [f"a red circle {i}"])
    assert len(reward.cache) == 8

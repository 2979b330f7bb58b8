"""Every resize and crop rule, against the packages that the authors used and against the formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from benchbench.reward_models import _preprocess as p
from tests.reward_models.conftest import Picture, natural, noisy

SIDE = 28
SIZES = [(28, 28), (64, 64), (20, 20), (51, 40), (40, 51), (43, 28), (28, 45), (90, 31), (31, 93), (512, 512)]
MODES = ["RGB", "L", "RGBA", "P", "LA"]
MEAN = torch.tensor(p.MEAN).view(3, 1, 1)
STD = torch.tensor(p.STD).view(3, 1, 1)


def picture(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    image = natural(sum(size), *size)
    if mode in ("RGBA", "LA"):
        alpha = np.linspace(0, 255, size[0] * size[1]).reshape(size[1], size[0]).astype(np.uint8)
        image = image.convert(mode)
        image.putalpha(Image.fromarray(alpha))
    return image.convert(mode)


def raw(normalised: Tensor) -> Tensor:
    """Back to 0..255."""
    return (normalised * STD + MEAN) * 255


def tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float()[None] / 255


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", MODES)
def test_transformers_rule(size: tuple[int, int], mode: str) -> None:
    """PickScore's: RGB first, PIL bicubic, floor crop. transformers' own PIL processor gives the same numbers."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    processor = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    image = picture(size, mode)
    expected = processor(image.convert("RGB"), return_tensors="pt").pixel_values
    assert (p.clip_pil([image], SIDE, "floor", rgb_first=True) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", MODES)
def test_torchvision_rule(size: tuple[int, int], mode: str) -> None:
    """OpenAI's CLIP and ImageReward: resize and crop in the picture's own mode, a rounded margin, then RGB."""
    t = pytest.importorskip("torchvision.transforms")
    resize = t.Resize(SIDE, interpolation=t.InterpolationMode.BICUBIC)
    reference = t.Compose([resize, t.CenterCrop(SIDE), lambda image: image.convert("RGB"), t.ToTensor()])
    image = picture(size, mode)
    expected = t.Normalize(p.MEAN, p.STD)(reference(image))[None]
    assert torch.equal(p.clip_pil([image], SIDE, "round", rgb_first=False), expected)


def test_the_two_crops_differ_by_a_pixel_at_a_margin_of_three() -> None:
    """At 28x31 the spare is 3: round(1.5) = 2, while 3 // 2 = 1; at 28x29, round(.5) = 0 = 1 // 2."""
    tall = Image.fromarray(np.repeat(np.arange(31, dtype=np.uint8), 28).reshape(31, 28)).convert("RGB")
    rounded, floored = (raw(p.clip_pil([tall], SIDE, crop, rgb_first=True))[0, 0, 0, 0] for crop in ("round", "floor"))  # type: ignore[arg-type]
    assert (round(rounded.item()), round(floored.item())) == (2, 1)
    short = tall.crop((0, 0, 28, 29))
    first = [raw(p.clip_pil([short], SIDE, c, rgb_first=True))[0, 0, 0, 0].item() for c in ("round", "floor")]  # type: ignore[arg-type]
    assert first == pytest.approx([0, 0], abs=1e-3)


def cubic(old: int, new: int) -> np.ndarray:
    """The resize of a line by its formula: Keys' cubic with a = -1/2, as wide as a new pixel, weights that sum to 1."""
    scale = old / new
    wide = max(scale, 1.0)
    out = np.zeros((new, old))
    for i in range(new):
        centre = (i + 0.5) * scale
        t = np.abs((np.arange(old) + 0.5 - centre) / wide)
        near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
        out[i] = np.where(t <= 1, near, np.where(t < 2, far, 0))
    return out / out.sum(1, keepdims=True)


@pytest.mark.parametrize(("old", "new"), [(64, 28), (512, 224), (20, 28), (51, 40), (1024, 224)])
def test_the_matrix_is_the_formula(old: int, new: int) -> None:
    assert np.abs(p.weights(old, new).numpy() - cubic(old, new)).max() < 1e-6


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", MODES)
def test_hpsv2_rule(size: tuple[int, int], mode: str) -> None:
    """RGB, floats, the longest side to 28, nothing clamped, black bars of which the left and upper is the smaller."""
    image = picture(size, mode)
    x = np.array(image.convert("RGB")).astype(np.float64)
    scale = SIDE / max(size)
    width, height = round(size[0] * scale), round(size[1] * scale)
    if (width, height) != size:
        x = np.einsum("hy,ywc,xw->hxc", cubic(size[1], height), x, cubic(size[0], width))
    expected = np.zeros((SIDE, SIDE, 3))
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    expected[top : top + height, left : left + width] = x
    found = raw(p.letterbox_pil([image], SIDE))[0].permute(1, 2, 0).numpy()
    assert np.abs(found - expected).max() < 0.01


@pytest.mark.parametrize("crop", ["round", "floor"])
@pytest.mark.parametrize("size", SIZES)
def test_tensor_path_is_within_two_grey_levels_of_pil(size: tuple[int, int], crop: p.Crop) -> None:
    """Mostly equal; where a sum lies between two levels PIL may take the other one, in each of two passes."""
    for make, largest, average in ((natural, 1.01, 0.02), (noisy, 2.01, 0.05)):
        image = make(3, *size)
        found, expected = p.clip_tensor(tensor(image), SIDE, crop), p.clip_pil([image], SIDE, crop, rgb_first=True)
        gap = (raw(found) - raw(expected)).abs()
        assert gap.max() < largest and gap.mean() < average


@pytest.mark.parametrize("make", [natural, noisy])
def test_at_real_size_the_tensor_path_is_pils(make: Picture) -> None:
    """512 to 224 as for Stable Diffusion: rewards.md measured a mean of .0002 (natural) and .019 (worst) levels."""
    image = make(5, 512, 512)
    gap = (
        raw(p.clip_tensor(tensor(image), 224, "round")) - raw(p.clip_pil([image], 224, "round", rgb_first=False))
    ).abs()
    print(f"preprocess {make.__name__}: mean {gap.mean():.1e}, max {gap.max():.2f} grey levels")
    assert gap.mean() < 0.02 and gap.max() < 2.01


@pytest.mark.parametrize("size", SIZES)
def test_hpsv2_tensor_path_is_its_pil_path(size: tuple[int, int]) -> None:
    image = noisy(4, *size)
    assert (p.letterbox_tensor(tensor(image), SIDE) - p.letterbox_pil([image], SIDE)).abs().max() < 1e-4


def test_without_antialias_it_would_be_another_picture() -> None:
    """The mistake to fear is 5 to 20 times larger than any other."""
    image = natural(6, 512, 512)
    plain = torch.nn.functional.interpolate(tensor(image), (224, 224), mode="bicubic", antialias=False)
    right = raw(p.clip_pil([image], 224, "round", rgb_first=False))
    good = (raw(p.clip_tensor(tensor(image), 224, "round")) - right).abs().mean()
    assert (plain * 255 - right).abs().mean() > 20 * good


@pytest.mark.parametrize("path", [lambda x: p.clip_tensor(x, SIDE, "round"), lambda x: p.letterbox_tensor(x, SIDE)])
def test_every_source_pixel_gets_a_gradient(path) -> None:  # type: ignore[no-untyped-def]
    """From 512 to 28, each output pixel sees some 70 source pixels a side; without antialias it would be 4."""
    x = tensor(natural(7, 512, 512)).clamp(0.2, 0.8).requires_grad_()
    torch.manual_seed(0)
    out = path(x)
    (out * torch.randn_like(out)).sum().backward()
    assert x.grad is not None
    assert (x.grad != 0).float().mean() > 0.99


def test_rounding_passes_the_gradient_and_clamping_stops_it() -> None:
    x = torch.tensor([0.5, 0.501, 1.0], requires_grad=True)
    y = p.round8(x)
    assert (y * 255).tolist() == pytest.approx([128, 128, 255], abs=1e-4)
    y.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [1, 1, 1]

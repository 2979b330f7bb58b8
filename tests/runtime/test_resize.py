"""The order of the two passes of a resize is pinned, and is that of the Pillow that is tested."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from benchbench.runtime.resize import height_first, resize

BICUBIC = Image.Resampling.BICUBIC
SIZES = [(31, 93, 28, 84), (20, 90, 28, 126), (64, 64, 28, 28), (90, 31, 81, 28), (16, 200, 32, 32), (100, 900, 32, 32)]


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def cubic(old: int, new: int) -> np.ndarray:
    """The weights [new, old] by Keys' formula with a = -1/2, as wide as a new pixel."""
    wide = max(old / new, 1.0)
    t = np.abs((np.arange(old) + 0.5 - (np.arange(new)[:, None] + 0.5) * old / new) / wide)
    near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    weights = np.where(t <= 1, near, np.where(t < 2, far, 0))
    return weights / weights.sum(1, keepdims=True)


def two_passes(image: Image.Image, size: tuple[int, int], height_comes_first: bool) -> np.ndarray:
    """[H, W, 3] by the formula, rounded to 8 bits after each pass."""
    x = np.asarray(image).astype(np.float64)
    across, down = cubic(image.width, size[0]), cubic(image.height, size[1])

    def rounded(y: np.ndarray) -> np.ndarray:
        return np.floor(y + 0.5).clip(0, 255)

    def width(y: np.ndarray) -> np.ndarray:
        return rounded(np.einsum("hwc,xw->hxc", y, across))

    def height(y: np.ndarray) -> np.ndarray:
        return rounded(np.einsum("hwc,yh->ywc", y, down))

    return width(height(x)) if height_comes_first else height(width(x))


@pytest.mark.parametrize(("width", "height", "new_width", "new_height"), SIZES)
def test_the_order_is_pinned(width: int, height: int, new_width: int, new_height: int) -> None:
    """By hand: 93 > 2 * 31 and shrinks, so the height comes first; 90 > 2 * 20 and grows, so the width does.

    Noise shows the order: in the right one hardly a value differs from the formula, in the other one many do.
    """
    tall = {(31, 93), (16, 200), (100, 900)}
    assert height_first(width, height, new_height) is ((width, height) in tall)
    image, size = noise(width, height), (new_width, new_height)
    found = np.asarray(resize(image, size, BICUBIC)).astype(float)
    right, wrong = (two_passes(image, size, first) for first in ((width, height) in tall, (width, height) not in tall))
    assert (found != right).mean() < 0.002
    assert (found != wrong).mean() > 0.02


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA"])
def test_todays_pillow_gives_the_same_bits(mode: str) -> None:
    """Every shape, from twelve times as wide as high to twelve times as high as wide, in both filters that are used."""
    rng = np.random.default_rng(1)
    for _ in range(60):
        width, height = (int(n) for n in np.exp(rng.uniform(1, 5, 2)))
        side = int(rng.integers(5, 60))
        scale = side / min(width, height)
        image = noise(width, height).convert(mode)
        for size in ((side, side), (max(1, int(width * scale)), max(1, int(height * scale)))):
            for filter in (BICUBIC, Image.Resampling.BILINEAR):
                assert resize(image, size, filter).tobytes() == image.resize(size, filter).tobytes(), (image.size, size)


@pytest.mark.parametrize(("size", "steps"), [((28, 84), [(31, 84), (28, 84)]), ((62, 186), [(62, 93), (62, 186)])])
def test_pillow_is_asked_for_one_pass_at_a_time(
    size: tuple[int, int], steps: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that no version of Pillow chooses the order: of a tall image that shrinks, and of one that grows."""
    asked, original = [], Image.Image.resize

    def watch(self: Image.Image, size: tuple[int, int], *words: object) -> Image.Image:
        asked.append(size)
        return original(self, size, *words)  # type: ignore[arg-type]

    image = noise(31, 93)
    monkeypatch.setattr(Image.Image, "resize", watch)
    resize(image, size, BICUBIC)
    assert asked == steps

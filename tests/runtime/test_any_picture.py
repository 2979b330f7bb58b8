"""Whatever a picture's mode, depth, format, orientation and size, it is read as what it shows; damaged, as an error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchbench.errors import CorruptError
from benchbench.runtime.pictures import read_picture
from tests.runtime.picture_files import grey, on_white, saved, tiff, upright

KINDS = {
    "rgb": ("PNG", "BMP", "WEBP", "TIFF", "PPM", "QOI"),
    "grey": ("PNG", "BMP", "TIFF", "PPM"),
    "one bit": ("PNG", "TIFF", "BMP"),
    "16 bits": ("PNG", "TIFF", "white is zero"),
    "fractions": ("TIFF",),
    "32 bits": ("TIFF",),
    "palette": ("PNG", "GIF", "BMP", "TIFF"),
    "transparent palette": ("PNG", "GIF"),
    "rgba": ("PNG", "WEBP", "TIFF"),
    "grey with alpha": ("PNG", "TIFF"),
    "cmyk": ("TIFF",),
}
ORIENTED = ("PNG", "WEBP", "TIFF")
PICTURES = st.tuples(
    st.sampled_from([(mode, kind) for mode, kinds in KINDS.items() for kind in kinds]),
    st.tuples(st.integers(1, 40), st.integers(1, 40)) | st.sampled_from([(1, 500), (500, 1)]),
    st.integers(1, 8),
    st.integers(0, 2**32 - 1),
)
DAMAGE = st.lists(
    st.tuples(
        st.sampled_from(["cut", "change", "insert", "remove"]), st.floats(0, 1), st.binary(min_size=1, max_size=4)
    ),
    min_size=1,
    max_size=3,
)


def drawn(mode: str, size: tuple[int, int], seed: int) -> tuple[Image.Image, np.ndarray, dict[str, object]]:
    """A random picture, the pixels [H, W, 3] that it shows, and how it is to be saved."""
    rng = np.random.default_rng(seed)
    width, height = size
    pixels = rng.integers(0, 256, (height, width, 4), dtype=np.uint8)
    one, alpha = pixels[..., 0], pixels[..., 3]
    if mode == "rgb":
        return Image.fromarray(pixels[..., :3].copy()), pixels[..., :3], {}
    if mode == "grey":
        return Image.fromarray(one.copy()), grey(one), {}
    if mode == "one bit":
        return Image.fromarray(one > 99), grey(np.where(one > 99, 255, 0)), {}
    if mode == "16 bits":
        return Image.fromarray(one.astype(np.uint16) * 257), grey(one), {}
    if mode == "fractions":
        return Image.fromarray((one / 255).astype(np.float32)), grey(one), {}
    if mode == "32 bits":
        return Image.fromarray(one.astype(np.int32)), grey(one), {}
    if mode == "cmyk":
        image = Image.frombytes("CMYK", size, pixels.tobytes())
        return image, np.asarray(image.convert("RGB")), {}
    if mode == "rgba":
        return Image.fromarray(pixels), on_white(pixels[..., :3], alpha), {"exact": True}
    if mode == "grey with alpha":
        image = Image.merge("LA", (Image.fromarray(one.copy()), Image.fromarray(alpha.copy())))
        return image, on_white(grey(one), alpha), {}
    indices, colours = one % 5, rng.integers(0, 256, (5, 3), dtype=np.uint8)
    image = Image.frombytes("P", size, indices.tobytes())
    image.putpalette(colours.tobytes())
    if mode == "palette":
        return image, colours[indices], {}
    shown = colours[indices]
    shown[indices == 2] = 255
    return image, shown, {"transparency": 2}


def written(mode: str, kind: str, size: tuple[int, int], orientation: int, seed: int) -> tuple[bytes, np.ndarray]:
    """The bytes of a random picture, and the pixels that are to be read."""
    image, shown, options = drawn(mode, size, seed)
    if kind == "white is zero":
        return tiff(*size, (65535 - np.asarray(image)).astype("<u2").tobytes(), 16, photometric=0), shown
    options |= {"lossless": True} if kind == "WEBP" else {}
    orientation = orientation if kind in ORIENTED else 1
    return saved(image, kind, orientation, **options), upright(shown, orientation)


def damaged(data: bytes, damage: list[tuple[str, float, bytes]]) -> bytes:
    """The bytes with each damage at its share of their length."""
    for what, share, content in damage:
        place = int(share * len(data))
        if what == "cut":
            data = data[:place]
        elif what == "change":
            data = data[:place] + content + data[place + len(content) :]
        elif what == "insert":
            data = data[:place] + content + data[place:]
        else:
            data = data[:place] + data[place + len(content) :]
    return data


def check_sound(picture: tuple) -> None:  # type: ignore[type-arg]
    """The pixels are exactly those that the file shows."""
    (mode, kind), size, orientation, seed = picture
    data, shown = written(mode, kind, size, orientation, seed)
    np.testing.assert_array_equal(np.asarray(read_picture(data, "x").image), shown)


def check_damaged(picture: tuple, damage: list[tuple[str, float, bytes]]) -> None:  # type: ignore[type-arg]
    """Some RGB picture, or an error that names the file, and nothing else."""
    (mode, kind), size, orientation, seed = picture
    data, _ = written(mode, kind, size, orientation, seed)
    problem, image = "", Image.new("L", (1, 1))
    try:
        image = read_picture(damaged(data, damage), "x.png").image
    except CorruptError as error:
        problem = str(error)
    if problem:
        assert problem.startswith("x.png cannot be read") and len(problem.splitlines()) == 3
    else:
        assert image.mode == "RGB" and np.asarray(image).shape == (image.height, image.width, 3)


@settings(max_examples=200)
@given(PICTURES)
def test_any_picture_is_what_it_shows(picture: tuple) -> None:  # type: ignore[type-arg]
    check_sound(picture)


@settings(max_examples=200)
@given(PICTURES, DAMAGE)
def test_any_damage_is_an_error_or_a_picture(picture: tuple, damage: list[tuple[str, float, bytes]]) -> None:  # type: ignore[type-arg]
    check_damaged(picture, damage)


@pytest.mark.long
@settings(max_examples=2000)
@given(PICTURES, DAMAGE)
def test_any_of_many_pictures(picture: tuple, damage: list[tuple[str, float, bytes]]) -> None:  # type: ignore[type-arg]
    check_sound(picture)
    check_damaged(picture, damage)

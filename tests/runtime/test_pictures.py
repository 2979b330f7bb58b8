"""Every kind of picture becomes the RGB picture of 8 bits that it shows, and every damaged one a named error."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchbench.errors import CorruptError
from benchbench.runtime.changed_pictures import ChangedPictures
from benchbench.runtime.picture_bytes import MAX_BYTES
from benchbench.runtime.pictures import SUFFIXES, read_picture
from tests.runtime.picture_files import chunk, grey, on_white, png, saved, tiff, upright

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (5, 7), dtype=np.uint8)


def read(data: bytes) -> tuple[np.ndarray, tuple[str, ...]]:
    picture = read_picture(data, "x.png")
    assert picture.image.mode == "RGB"
    return np.asarray(picture.image), picture.changes


def reads(data: bytes, expected: np.ndarray, *changes: str) -> None:
    found, found_changes = read(data)
    np.testing.assert_array_equal(found, expected)
    assert found_changes == changes


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "TIFF", "PPM", "QOI"])
def test_rgb_is_read_as_it_is(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    reads(saved(Image.fromarray(PIXELS), kind, **options), PIXELS)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_stands_upright(kind: str, orientation: int) -> None:
    """The pixels of a file without orientation, turned by the standard's definition."""
    options = {"lossless": True} if kind == "WEBP" else {}
    plain, _ = read(saved(Image.fromarray(PIXELS), kind, **options))
    found, changes = read(saved(Image.fromarray(PIXELS), kind, orientation, **options))
    np.testing.assert_array_equal(found, upright(plain, orientation))
    assert changes == (("turned",) if orientation != 1 and kind != "TIFF" else ())  # Pillow turns TIFF by itself


def test_an_orientation_in_xmp_counts_and_damaged_exif_does_not() -> None:
    image = Image.fromarray(PIXELS)
    text = b"XML:com.adobe.xmp\0\0\0\0\0" + b'<x:xmpmeta tiff:Orientation="3"/>'
    data = saved(image)
    with_xmp = data[:33] + chunk(b"iTXt", text) + data[33:]  # after the signature and IHDR
    reads(with_xmp, PIXELS[::-1, ::-1], "turned")
    reads(data[:33] + chunk(b"eXIf", b"no EXIF at all") + data[33:], PIXELS)


def test_16_bits_are_their_8_bit_twin() -> None:
    """257 v is v; and by hand: 128 / 257 = .498 is 0, 129 / 257 = .502 is 1, 65406 / 257 = 254.498 is 254."""
    eight = PIXELS[..., 0]
    sixteen = eight.astype(np.uint16) * 257
    for kind in ("PNG", "TIFF"):
        reads(saved(Image.fromarray(sixteen), kind), grey(eight), "depth")
    reads(tiff(7, 5, sixteen.tobytes(), 16), grey(eight), "depth")
    pgm = b"P5 7 5 65535\n" + sixteen.astype(">u2").tobytes()
    reads(pgm, grey(eight), "depth")
    by_hand = np.array([[0, 128, 129, 65406, 65407, 65535]], np.uint16)
    reads(saved(Image.fromarray(by_hand)), grey(np.array([[0, 0, 1, 254, 255, 255]])), "depth")


def test_12_bits_and_white_that_is_zero() -> None:
    """Two values of 12 bits in three bytes: 0xFFF and 0x800, with 4095 for white: 255, and 2048 / 4095 * 255 = 127.5.
    In a file whose white is zero, 0 is white and 65535 black.
    """
    reads(tiff(2, 1, bytes([0xFF, 0xF8, 0x00]), 12), grey(np.array([[255, 128]])), "depth")
    reads(tiff(2, 1, struct.pack("<2H", 0, 65535), 16, photometric=0), grey(np.array([[255, 0]])), "depth")


def test_32_bits_and_fractions() -> None:
    """Fractions times 255; whole numbers as they are, or as 16 bits. What has no white is refused."""
    eight = PIXELS[..., 0]
    for values in (eight.astype(np.float32) / 255, eight.astype(np.float32), eight.astype(np.int32)):
        reads(saved(Image.fromarray(values), "TIFF"), grey(eight), "depth")
    reads(saved(Image.fromarray(eight.astype(np.int32) * 257), "TIFF"), grey(eight), "depth")
    reads(tiff(2, 1, struct.pack("<2f", 0.5, 1.0), 32, sample_format=3), grey(np.array([[128, 255]])), "depth")
    for strange in ([[-0.5, 1.0]], [[0.5, 200.0]], [[0.0, 1000.0]], [[np.nan, 0.5]], [[0.5, np.inf]]):
        with pytest.raises(CorruptError, match=r"x\.png") as caught:
            read(saved(Image.fromarray(np.array(strange, np.float32)), "TIFF"))
        assert "which is white" in caught.value.cause
    for wide in ([[-1, 5]], [[0, 70000]]):
        with pytest.raises(CorruptError):
            read(saved(Image.fromarray(np.array(wide, np.int32)), "TIFF"))


def test_transparency_is_laid_on_white() -> None:
    """By hand: 100 under alpha 128 is (100 * 128 + 255 * 127) / 255 = 177.2. Opaque pixels stay, hidden ones vanish."""
    one = np.array([[[100, 100, 100, 128], [9, 9, 9, 0], [9, 8, 7, 255]]], np.uint8)
    reads(saved(Image.fromarray(one)), np.array([[[177] * 3, [255] * 3, [9, 8, 7]]], np.uint8), "white")
    rgba = np.concatenate([PIXELS, ALPHA[..., None]], 2)
    for kind, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})):
        reads(saved(Image.fromarray(rgba), kind, **options), on_white(PIXELS, ALPHA), "white")
    la = Image.merge("LA", (Image.fromarray(PIXELS[..., 0]), Image.fromarray(ALPHA)))
    reads(saved(la), on_white(grey(PIXELS[..., 0]), ALPHA), "white")
    rgba[..., 3] = 255
    reads(saved(Image.fromarray(rgba)), PIXELS)  # an alpha channel that hides nothing is no change


def test_one_transparent_colour_is_white() -> None:
    """tRNS of a palette, of grey with 8 and with 16 bits, of RGB; and of a GIF."""
    indices = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    palette = Image.frombytes("P", (3, 2), indices.tobytes())
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    colours = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]], np.uint8)
    reads(saved(palette), colours[indices])
    white = colours.copy()
    white[1] = 255
    for kind in ("PNG", "GIF"):
        reads(saved(palette, kind, transparency=1), white[indices], "white")
    half = on_white(colours[indices], np.array([255, 0, 128])[indices])
    reads(saved(palette, transparency=bytes([255, 0, 128])), half, "white")
    levels = np.array([[5, 6], [7, 5]], np.uint8)
    reads(saved(Image.fromarray(levels), transparency=5), grey(np.where(levels == 5, 255, levels)), "white")
    rgb = np.array([[[1, 2, 3], [3, 2, 1]]], np.uint8)
    reads(saved(Image.fromarray(rgb), transparency=(1, 2, 3)), np.array([[[255] * 3, [3, 2, 1]]], np.uint8), "white")
    rows = b"\0" + struct.pack(">2H", 257 * 40, 257 * 40 + 1)  # two values that are one in 8 bits
    sixteen = png(2, 1, chunk(b"tRNS", struct.pack(">H", 257 * 40)), depth=16, colour=0, data=rows)
    reads(sixteen, grey(np.array([[255, 40]])), "depth", "white")


def test_cmyk_is_pillows_and_the_first_of_several_is_taken() -> None:
    cmyk = Image.frombytes("CMYK", (7, 5), np.concatenate([PIXELS, ALPHA[..., None]], 2).tobytes())
    reads(saved(cmyk, "TIFF"), np.asarray(cmyk.convert("RGB")), "cmyk")
    frames = [Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1].copy())]
    for kind, options in (("WEBP", {"lossless": True}), ("TIFF", {}), ("PNG", {})):
        reads(saved(frames[0], kind, save_all=True, append_images=frames[1:], **options), PIXELS, "first")
    palettes = [Image.new("P", (4, 4), n) for n in (0, 1)]
    for image in palettes:
        image.putpalette([200, 0, 0, 0, 200, 0])
    found, changes = read(saved(palettes[0], "GIF", save_all=True, append_images=palettes[1:]))
    assert (found == [200, 0, 0]).all() and changes == ("first",)


@pytest.mark.parametrize("name", [b"tEXt", b"zTXt", b"iTXt"])
def test_megabytes_of_text_are_skipped(name: bytes) -> None:
    """Programs store their workflow in a picture; Pillow refuses over one megabyte of it."""
    text = b"x" * 3_000_000
    content = {
        b"tEXt": b"workflow\0" + text,
        b"zTXt": b"workflow\0\0" + zlib.compress(text),
        b"iTXt": b"workflow\0\1\0\0\0" + zlib.compress(text),
    }[name]
    reads(png(4, 3, chunk(name, content)), np.zeros((3, 4, 3), np.uint8))


BROKEN = {
    "nothing": b"",
    "html": b"<html>not found</html>",
    "truncated": saved(Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)))[:3000],
    "bomb": png(30_000, 30_000, data=b"\0"),
    "above the limit where Pillow warns": png(9_500, 9_500, data=b"\0"),
    "no pixels": png(0, 5),
    "a bad checksum": saved(Image.fromarray(PIXELS))[:40] + b"\xff" + saved(Image.fromarray(PIXELS))[41:],
    "a wrong length": b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 2**31) + b"IHDR",
    "a program": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
    "gif without a frame": saved(Image.new("P", (4, 4)), "GIF")[:20],
    "webp cut": saved(Image.fromarray(PIXELS), "WEBP")[:30],
    "tiff cut": saved(Image.fromarray(PIXELS), "TIFF")[:-60],
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_a_named_error(name: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(BROKEN[name])
    for source in (path, BROKEN[name]):
        with pytest.raises(CorruptError, match=r"broken\.png cannot be read as a picture") as caught:
            read_picture(source, "broken.png")
        assert caught.value.cause and "\n" not in caught.value.cause and "BytesIO" not in caught.value.cause


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(CorruptError) as caught:
        read(BROKEN["above the limit where Pillow warns"])
    assert "9500 x 9500 pixels" in caught.value.cause


def test_no_file_is_waited_for_or_read_beyond_the_limit(tmp_path: Path) -> None:
    """A pipe without a writer, a folder, no file, and a sparse file of 512 MB and a byte."""
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    for name, said in (("pipe", "regular"), ("folder", "regular"), ("none", "No such file"), ("large", "bytes")):
        with pytest.raises(CorruptError, match=f"{name}.png") as caught:
            read_picture(tmp_path / f"{name}.png", f"{name}.png")
        assert said in caught.value.cause


def test_pillow_prints_nothing(tmp_path: Path) -> None:
    """A PNG file that says that it is animated, with no frame: Pillow warns, and the picture is read."""
    path = tmp_path / "a.png"
    path.write_bytes(png(4, 3, chunk(b"acTL", bytes(8))))
    code = f"from benchbench.runtime.pictures import *; read_picture(Path({str(path)!r}), 'a')"
    ran = subprocess.run([sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("", "")
    said = subprocess.run(
        [sys.executable, "-c", f"from PIL import Image; Image.open({str(path)!r})"], capture_output=True, text=True
    )
    assert "UserWarning" in said.stderr  # it would have been printed


def test_every_ending_belongs_to_one_format() -> None:
    endings = [ending for of_format in SUFFIXES.values() for ending in of_format]
    assert len(endings) == len(set(endings)) and all(ending == ending.lower() for ending in endings)
    Image.init()
    for kind, of_format in SUFFIXES.items():
        assert kind in Image.OPEN
        assert all(Image.EXTENSION.get(ending, kind) == kind for ending in of_format)


def test_changes_are_counted_once_a_picture_and_the_first_are_named() -> None:
    changed = ChangedPictures()
    for n in (1, 2, 3, 4, 5, 1):  # the first is read twice
        changed.add(("turned",), n, f"{n}.png")
    changed.add(("white", "first"), 9, "9.png")
    changed.add((), 10, "10.png")
    assert changed.lines() == [
        "5 pictures were turned by EXIF orientation: 1.png, 2.png, 3.png and 2 more",
        "1 picture was laid on white because of transparency: 9.png",
        "1 picture was taken as the first of several in a file: 9.png",
    ]

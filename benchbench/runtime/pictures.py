"""The reader of every picture that others made: any mode, depth and orientation becomes an RGB image of 8 bits.

What is done to a picture is returned with it, in words of ``CHANGES``. A picture with transparency is laid on white.
Colour profiles are not applied, as in the reward authors' code. Pictures of our own store have their own, faster reader
(``store/images.py``), which checks their hash.
"""

from __future__ import annotations

import functools
import io
import logging
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from benchbench.errors import CorruptError
from benchbench.runtime.picture_bytes import read_bytes

MAX_PIXELS = 89_478_485
"""Width times height; larger pictures are refused before they are decoded. Pillow warns from this size on."""
WHITE = (255, 255, 255)
SUFFIXES = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WEBP": (".webp",),
    "AVIF": (".avif",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "JPEG2000": (".jp2", ".j2k", ".jpx", ".jpf"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "QOI": (".qoi",),
}
"""The formats that are read, with their file names' endings. Each is recognised by its first bytes, and none of their
readers starts another program, as that of EPS does."""
CHANGES = {
    "turned": "turned by EXIF orientation",
    "depth": "brought from 16 or more bits, or from fractions, to 8 bits",
    "white": "laid on white because of transparency",
    "cmyk": "converted from CMYK without a colour profile",
    "first": "taken as the first of several in a file",
}
"""The changes that reading may make to a picture, with words for a message on several pictures."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION, _BITS, _PHOTOMETRIC = 0x0112, 258, 262  # tags of EXIF and TIFF
_PNG = b"\x89PNG\r\n\x1a\n"
_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_ORIENTED = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")  # texts that may hold an orientation


class Picture(NamedTuple):
    """An RGB image and the keys of ``CHANGES`` that say what was done to it."""

    image: Image.Image
    changes: tuple[str, ...]


class _Refused(Exception):
    """A reason why a picture is not read, in words."""


def read_picture(source: Path | bytes | Image.Image, name: str) -> Picture:
    """Returns the picture in a file, in the bytes of one, or of an image of PIL. ``name`` is its name in messages.

    Errors: CorruptError with that name, whatever is wrong: no picture, damaged, too large, without a known white.
    """
    try:
        _quieten_pillow()
        if isinstance(source, Image.Image):
            return _normalised(source.copy())
        data = read_bytes(source) if isinstance(source, Path) else source
        with Image.open(io.BytesIO(_without_texts(data)), formats=_formats()) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise _Refused(f"it has {width} x {height} pixels; at most {MAX_PIXELS} in all are read")
            image.load()
            return _normalised(image)
    except Exception as error:  # Pillow's decoders raise more than ten classes, MemoryError among them
        raise CorruptError(
            f"{name} cannot be read as a picture", _cause(error), "repair it, convert it to PNG, or take it out"
        ) from error


def is_picture(path: Path) -> bool:
    """Returns whether a regular file begins as a picture in a format that is read."""
    try:
        _quieten_pillow()
        with path.open("rb") as file:
            start = file.read(2**18)  # more than any header and its EXIF data
        with Image.open(io.BytesIO(start), formats=_formats()):
            return True
    except Exception:  # as above; a file that cannot be read is no picture
        return False


@functools.cache
def _formats() -> list[str]:
    Image.init()
    return [name for name in SUFFIXES if name in Image.OPEN]  # older versions of Pillow lack some


def _quieten_pillow() -> None:
    """Stops Pillow from printing: what matters is in our errors and changes."""
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    if not any(entry[0] == "ignore" and "PIL" in str(getattr(entry[3], "pattern", "")) for entry in warnings.filters):
        warnings.filterwarnings("ignore", module=r"PIL\.")


def _cause(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"it is damaged, or not one of {', '.join(_formats())}"
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {MAX_PIXELS} pixels"
    if isinstance(error, MemoryError):
        return "it is damaged, or the memory is too small for it"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).strip() or type(error).__name__).splitlines()[0].split(" <")[0]


def _without_texts(data: bytes) -> bytes:
    """Returns a PNG file without the texts in it, other data as they are.

    Programs store whole workflows as text, and Pillow refuses a picture with a text of over one megabyte.
    """
    if not data.startswith(_PNG):
        return data
    kept, start = [data[: len(_PNG)]], len(_PNG)
    while start < len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")  # length, name, content, checksum
        if data[start + 4 : start + 8] not in _TEXT or data.startswith(_ORIENTED, start + 8):
            kept.append(data[start:end])
        start = end
    return b"".join(kept)


def _normalised(image: Image.Image) -> Picture:
    """Returns a loaded image as RGB: depth first, then transparency, then orientation."""
    changes = []
    orientation = _orientation(image)
    rgb: Image.Image = image
    if image.mode.startswith("I") or image.mode == "F":
        rgb, transparent = _eight_bits(image)
        changes += ["depth", *(["white"] if transparent else [])]
    elif image.has_transparency_data:
        rgba = image.convert("RGBA")
        alpha, rgb = rgba.getchannel("A"), rgba.convert("RGB")
        if alpha.getextrema() != (255, 255):
            changes.append("white")
            page = Image.new("RGB", rgb.size, WHITE)
            page.paste(rgb, mask=alpha)
            rgb = page
    elif image.mode == "CMYK":
        changes.append("cmyk")
    rgb = rgb.convert("RGB")
    if orientation in _TURNS:
        changes.append("turned")
        rgb = rgb.transpose(_TURNS[orientation])
    if _holds_several(image):
        changes.append("first")
    return Picture(rgb, tuple(changes))


def _orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation, 1 to 8; 1, upright, where there is none or the EXIF data are damaged."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
        return value if isinstance(value, int) else 1
    except Exception:  # as above; the pixels are sound
        return 1


def _holds_several(image: Image.Image) -> bool:
    """Returns whether the file is animated or has several pages. Asked last: it moves some readers to the second."""
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # as above; the first picture is sound
        return False


def _eight_bits(image: Image.Image) -> tuple[Image.Image, bool]:
    """Returns a grey image of 16 or 32 bits as 8 bits, and whether some of it was transparent and became white.

    16 bits: value / 257, rounded. 32 bits have no white of their own: fractions in [0, 1] are multiplied by 255, whole
    numbers up to 255 stay, whole numbers up to 65535 are taken as 16 bits. Errors: _Refused for other values.
    """
    values, tags = np.asarray(image), getattr(image, "tag_v2", {})
    transparent = values == _number(image.info.get("transparency"))
    white = _white(image, values, tags)
    if image.mode == "F":
        grey = np.rint(values * (255 / white))
    else:
        wide = values.astype(np.uint32)
        grey = (wide * 510 + white) // (2 * white)  # 255 / white times the value, rounded
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero, which Pillow heeds in 8 bits only
        grey = 255 - grey
    grey = np.where(transparent, 255, grey).astype(np.uint8)
    return Image.fromarray(grey), bool(transparent.any())


def _white(image: Image.Image, values: np.ndarray, tags: Any) -> int:
    """Returns the value that is white. Errors: _Refused."""
    if image.mode.startswith("I;16"):
        bits = tags.get(_BITS, (16,))
        return (1 << int(bits[0] if isinstance(bits, tuple) else bits)) - 1
    if image.mode == "I" and image.format in ("PNG", "PPM"):
        return 65535
    low, high = float(values.min()), float(values.max())
    if image.mode == "F" and low >= 0 and high <= 1:
        return 1
    if low >= 0 and high <= 255 and (image.mode == "I" or bool((values == np.rint(values)).all())):
        return 255
    if image.mode == "I" and low >= 0 and high <= 65535:
        return 65535
    raise _Refused(f"its values are {low:g} to {high:g}, and nothing says which is white: save it with 8 or 16 bits")


def _number(value: object) -> int:
    return value if isinstance(value, int) else -1

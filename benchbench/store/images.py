"""The images of one generation in one folder: record.json, and one lossless WebP file per image.

    images/<generation id>/record.json          written first: the key, and where the images were generated
    images/<generation id>/00003-01.webp        prompt 3, sample 1
    images/<generation id>/index.parquet        a cache of checked images (image_index.py)

Each WebP file carries its prompt, its seed and the hash of its pixels. An image that cannot be decoded, or that does
not match what its file carries, is never used.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchbench.errors import CorruptError
from benchbench.noise import Sample
from benchbench.runtime.files import Log, write_atomic
from benchbench.runtime.garbage import no_collection
from benchbench.runtime.hashing import bytes_sha256
from benchbench.runtime.json_files import find_object, parse_object, write_json
from benchbench.runtime.looking import about_to_make
from benchbench.runtime.progress import progress
from benchbench.store.image_index import FILE, CheckedImage, State, add_to_index, file_state, listed, read_index
from benchbench.store.keys import GenerationKey

__all__ = [
    "CheckedImage",
    "DamagedImage",
    "ImageStore",
    "blank",
    "check_picture",
    "file_name",
    "pixel_hash",
    "stored_sha256",
]

DESCRIPTION = 0x010E  # EXIF ImageDescription, an ASCII field that holds the JSON
MANY = 1000  # images that are checked with a progress bar
UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    KeyError,
    TypeError,
    struct.error,
    Image.DecompressionBombError,
)
"""The errors that Pillow and the parser of the description raise on damaged files."""
BLACK = 4  # an image is black if its brightest value, of 255, is at most this


class DamagedImage(CorruptError):
    """An image that cannot be read, or is not the one that was stored. The next scan of its folder finds it."""


class ImageStore:
    """The images of one generation, in ``store/images/<id>``."""

    def __init__(self, store: Path, key: GenerationKey) -> None:
        self.key, self.id = key, key.id
        self.folder = store / "images" / self.id
        self.lock = self.folder / "generate.lock"
        # index rows of images that this object wrote after its last scan
        self._written: dict[str, tuple[State, CheckedImage]] = {}
        self._sha256: dict[str, str] = {}  # of the pixels of the images that this object checked or wrote

    def path(self, sample: Sample) -> Path:
        """Returns the path of a sample's image."""
        return self.folder / file_name(sample)

    def begin(self, made_on: Mapping[str, Any]) -> None:
        """Writes record.json with the key and ``made_on``, unless it is there already."""
        record = self.folder / "record.json"
        if (find_object(record) or {}).get("key") != self.key.fields():
            write_json(record, {"id": self.id, "key": self.key.fields(), "made_on": dict(made_on)})

    def write(self, sample: Sample, pixels: np.ndarray) -> None:
        """Stores the image uint8 [H, W, 3]. Raises RunError if the disk is full."""
        exif, sha256, path = Image.Exif(), pixel_hash(pixels), self.path(sample)
        exif[DESCRIPTION] = json.dumps({**_describe(sample, self.key.eval_seed), "sha256": sha256})
        data = io.BytesIO()
        # at 512 px this takes a third of the time of method 1 and a tenth of that of the default; files are 6 to 20 %
        # larger
        Image.fromarray(pixels).save(data, "WEBP", lossless=True, method=0, quality=20, exif=exif)
        write_atomic(path, data.getvalue())
        self._sha256[path.name] = sha256
        if state := file_state(path):
            self._written[path.name] = state, CheckedImage(sha256, blank(pixels))

    def read(self, sample: Sample) -> Image.Image:
        """Returns the RGB image after checking its hash.

        Raises DamagedImage for an image that is damaged or is not the one that was scanned. The index is then removed,
        so that the next scan reads every image and has the damaged ones made again.
        """
        try:
            image, checked = self._check(sample)
            if self._sha256.get(self.path(sample).name, checked.sha256) != checked.sha256:
                raise _damaged(self.path(sample), "it is another image than the one that was checked before")
        except DamagedImage:
            self._written.clear()
            with suppress(OSError):  # where nothing can be written, nothing can be made again either
                (self.folder / FILE).unlink(missing_ok=True)
            raise
        return image

    def scan(self, samples: Iterable[Sample], log: Log) -> dict[Sample, CheckedImage]:
        """Returns the samples whose images are sound; names and deletes damaged images.

        Files whose size, times and inode are those of the index are not read again, links always are. ``read`` checks
        every image that is used.
        """
        with no_collection():
            sound, unchecked = self._look_up(samples)
        if unchecked or self._written:
            self._check_all(unchecked, sound, log)
        return sound

    def _look_up(self, samples: Iterable[Sample]) -> tuple[dict[Sample, CheckedImage], dict[Sample, State | None]]:
        """Returns the images that the index knows, and the states of the others; those without a file are left out."""
        known, files = read_index(self.folder) | self._written, listed(self.folder)
        sound: dict[Sample, CheckedImage] = {}
        unchecked: dict[Sample, State | None] = {}
        for sample in samples:
            name = file_name(sample)
            try:
                state = file_state(files[name])
            except (KeyError, FileNotFoundError):
                continue
            row = known.get(name)
            if row and row[0] == state:
                sound[sample] = row[1]
                self._sha256[name] = row[1].sha256
            else:
                unchecked[sample] = state
        return sound, unchecked

    def _check_all(self, unchecked: Mapping[Sample, State | None], sound: dict[Sample, CheckedImage], log: Log) -> None:
        """Checks images and adds the sound ones to ``sound`` and to the index; names and deletes the damaged ones."""
        if unchecked:
            about_to_make("checks of images")
        rows, damaged = dict(self._written), set[str]()
        few = len(unchecked) < MANY
        with ThreadPoolExecutor() as pool, progress(len(unchecked), "checking images", "images", silent=few) as bar:
            for sample, result in zip(unchecked, pool.map(self._try, unchecked), strict=True):
                name, state = file_name(sample), unchecked[sample]
                if isinstance(result, DamagedImage):
                    log(f"warning: {result.problem} ({result.cause}); it is deleted and made again")
                    self.path(sample).unlink(missing_ok=True)
                    damaged.add(name)
                else:
                    sound[sample] = result
                    self._sha256[name] = result.sha256
                    if state:
                        rows[name] = state, result
                bar.advance()
        if rows or damaged:
            add_to_index(self.folder, rows, damaged)
        self._written.clear()

    def _try(self, sample: Sample) -> CheckedImage | DamagedImage:
        try:
            return self._check(sample)[1]
        except DamagedImage as error:
            return error

    def _check(self, sample: Sample) -> tuple[Image.Image, CheckedImage]:
        return _read(self.path(sample), _describe(sample, self.key.eval_seed))


def file_name(sample: Sample) -> str:
    """Returns the name of a sample's image file."""
    return f"{sample.index:05d}-{sample.number:02d}.webp"


def stored_sha256(path: Path, sample: Sample, seed: int) -> str | None:
    """Returns the pixel hash of an image file, or None where it is missing, damaged, or of another sample or seed."""
    try:
        return _read(path, _describe(sample, seed))[1].sha256
    except DamagedImage:
        return None


def check_picture(path: Path, seed: int | None) -> None:
    """Raises DamagedImage unless a file is a picture with its own hash, and of the prompt that its name numbers.

    ``seed`` is that of its generation; None: unknown.
    """
    index, dash, number = path.stem.partition("-")
    if not (index.isdecimal() and dash and number.isdecimal()):
        raise _damaged(path, "its name is not that of an image")
    place = {"index": int(index), "sample": int(number)}
    _read(path, place if seed is None else {**place, "seed": seed})


def _read(path: Path, expected: Mapping[str, Any]) -> tuple[Image.Image, CheckedImage]:
    """Returns an RGB image and its hash. Raises DamagedImage unless it carries what is expected and its own hash."""
    try:
        image: Image.Image = Image.open(io.BytesIO(path.read_bytes()), formats=("WEBP",))
        description = parse_object(image.getexif()[DESCRIPTION])
        image = image.convert("RGB")
    except UNREADABLE as error:
        raise _damaged(path, str(error) or type(error).__name__) from error
    pixels = np.asarray(image)
    sha256 = pixel_hash(pixels)
    if description != {**description, **expected, "sha256": sha256}:
        raise _damaged(path, "its pixels or its prompt are not those that it was stored with")
    return image, CheckedImage(sha256, blank(pixels))


def _describe(sample: Sample, seed: int) -> dict[str, Any]:
    return {"prompt": sample.prompt, "index": sample.index, "sample": sample.number, "seed": seed}


def _damaged(path: Path, cause: str) -> DamagedImage:
    return DamagedImage(f"the image {path} is damaged", cause, "run the evaluation again: it makes the image again")


def pixel_hash(pixels: np.ndarray) -> str:
    """Returns the sha256 of an image uint8 [H, W, 3] and its shape, as 64 hexadecimal digits."""
    return bytes_sha256([repr(pixels.shape).encode(), pixels.tobytes()])


def blank(pixels: np.ndarray) -> str:
    """Returns ``black``, ``constant`` (one colour) or an empty string for an image uint8 [H, W, 3].

    Black and constant images are signs of a collapsed model.
    """
    if pixels.max() <= BLACK:
        return "black"
    return "constant" if (pixels == pixels[:1, :1]).all() else ""

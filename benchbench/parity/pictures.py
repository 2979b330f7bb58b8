"""The pictures and prompts that both sides score: made ones, or those of a user's folder, as PNG files in RGB.

Made pictures depend on their number alone. Their sizes meet every branch of the resizes: smaller and larger than the
networks' 224 pixels, equal to it, square, wide, tall, with odd margins.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from PIL import Image

from benchbench.runtime.changed_pictures import ChangedPictures
from benchbench.runtime.files import Log
from benchbench.runtime.pictures import read_picture
from benchbench.runtime.progress import Progress, progress
from benchbench.runtime.resize import height_first
from benchbench.runtime.words import counted

SIZES = (
    (512, 512),
    (768, 512),
    (512, 768),
    (224, 224),
    (640, 361),
    (225, 301),
    (1024, 1024),
    (97, 131),
    (300, 224),
    (224, 517),
    (1000, 333),
)
"""Width and height in pixels. Their number has no factor in common with that of the prompts, so that pairs vary."""
LONG = "a detailed painting of a harbour at dawn with " + ", ".join(
    f"{number} {thing}"
    for number, thing in enumerate(
        ("gulls", "boats", "ropes", "barrels", "lanterns", "sailors", "nets", "crates", "anchors", "flags", "masts"), 2
    )
)
"""More than 77 tokens in the words of CLIP, and more than 35 in those of BERT."""
SIDE = 224
"""Pixels of a side of the networks' pictures."""
OTHER_ORDER = (
    "Pillow 13 and our rewards resize the height of such a picture first, the packages' Pillow 10 the width; where PIL "
    "resizes (not in hpsv2 and clip_h14), a difference of up to about 1e-2 SD may come from that (docs/parity.md)"
)
PROMPTS = (
    "a cat",
    "a red fox in the snow, photograph, 35mm",
    "\u201cHello\u201d, said the robot\u2019s owner \u2014 an oil painting\u2026",
    "an o\ufb03ce with a \ufb01replace",
    "\uff21 \uff46\uff55\uff4c\uff4c\uff0d\uff57\uff49\uff44\uff54\uff48 sign reading \uff32\uff21\uff2d\uff25",
    "salt &amp; pepper, &lt;b&gt;bold&lt;/b&gt; letters",
    f"{LONG}, {LONG}, by a master of light",
    "Caf\u00e9 cre\u0300me at 7\u00a0o'clock, \u00bd price",
    "  two   spaces,\ttab, and UPPER case  ",
    "\u732b\u3068\u72ac, a \U0001f408 and a \U0001f415",
    "I\u2019ve it\u2019s we'll don't 3.14 #hashtag @name a_b-c",
    "mojibake: the cafÃ© donâ€™t close",
)


def prompts(count: int) -> list[str]:
    """Returns ``count`` prompts: short, long, and typographic ones, over and over."""
    return list(islice(cycle(PROMPTS), count))


def made(number: int) -> Image.Image:
    """Returns the made picture of this number: waves of colour, a disc, a bar and noise, in 8-bit RGB."""
    width, height = SIZES[number % len(SIZES)]
    rng = np.random.default_rng([2201, number])
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    pixels = np.full((height, width, 3), rng.uniform(30, 225, 3))
    for channel in range(3):
        for _ in range(4):
            across, down = rng.uniform(-9, 9, 2)
            wave = np.sin(2 * np.pi * (across * x + down * y + rng.uniform()))
            pixels[..., channel] += rng.uniform(5, 45) * wave
    disc = (x - rng.uniform(0.1, 0.6)) ** 2 + (y - rng.uniform(0.1, 0.6)) ** 2 < rng.uniform(0.01, 0.09)
    pixels[disc] = rng.uniform(0, 255, 3)
    top = rng.uniform(0.1, 0.8)
    pixels[int(height * top) : int(height * top) + max(1, height // 12)] = rng.uniform(0, 255, 3)
    pixels += rng.normal(0, rng.choice((1.0, 12.0, 60.0)), pixels.shape)
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))


def write_made(count: int, folder: Path) -> list[Path]:
    """Writes made pictures into a folder of ours, and returns their paths."""
    with progress(count, "making pictures", "images") as bar:
        return [_write(made(number), folder, number, bar) for number in range(count)]


def write_copies(files: Sequence[Path], folder: Path, log: Log) -> list[Path]:
    """Writes pictures of others into a folder of ours as RGB, and returns their paths. Raises CorruptError.

    ``log`` gets what was done to them. The packages would read some modes otherwise; both sides get the same pixels.
    """
    changed, paths, tall = ChangedPictures(), [], 0
    with progress(len(files), "reading pictures", "images") as bar:
        for number, file in enumerate(files):
            image, changes = read_picture(file, str(file))
            changed.add(changes, file, file.name)
            tall += _resized_height_first(*image.size)
            paths.append(_write(image, folder, number, bar))
    for line in changed.lines():
        log(line)
    if tall:
        log(f"{counted(tall, 'picture')} over twice as high as wide: {OTHER_ORDER}")
    return paths


def _resized_height_first(width: int, height: int) -> bool:
    """Returns whether our resize, which is that of Pillow 13, has another order than that of the packages' Pillow."""
    return height_first(width, height, SIDE * height // width)


def _write(image: Image.Image, folder: Path, number: int, bar: Progress) -> Path:
    path = folder / f"{number:05d}.png"
    image.save(path, compress_level=1)
    bar.advance()
    return path

"""Preprocessing of images for CLIP and BLIP: the authors' own resize and crop, and the same on tensors with a gradient.

All rewards here normalise by the same mean and deviation; they differ in resize and crop (README.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from PIL.Image import Image, Resampling
from torch import Tensor
from torch.nn.functional import interpolate, pad

from benchbench.api import UsageError
from benchbench.runtime.resize import height_first, resize

from ._constants import constant

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)

Crop = Literal["round", "floor"]
"""The rounding of half an odd margin: torchvision rounds it, transformers takes the floor."""
MAX_RESIZED = 2**26
"""Pixels of an image after the resize of its shortest side, before the crop; more would need gigabytes of memory."""


def normalise(images: Tensor) -> Tensor:
    """Returns [N, 3, H, W] in [0, 1] normalised to mean 0 and deviation 1 on CLIP's training images."""
    mean, std = constant(_mean_and_deviation, images.dtype, like=images)
    normalised: Tensor = (images - mean) / std
    return normalised


def clip_pil(images: Sequence[Image], side: int, crop: Crop, rgb_first: bool) -> Tensor:
    """Returns [N, 3, side, side], normalised: PIL's bicubic resize of the shortest side and a centre crop, in 8 bits.

    With ``rgb_first`` other modes are converted to RGB before the resize (transformers), else after the crop (OpenAI's
    CLIP).
    """
    return normalise(torch.stack([_tensor(_shortest(image, side, crop, rgb_first)) for image in images]))


def clip_tensor(images: Tensor, side: int, crop: Crop) -> Tensor:
    """Returns what ``clip_pil`` returns, for tensors [N, 3, H, W] in [0, 1]: PIL's two passes, each rounded to 8 bits.

    The rounding passes the gradient unchanged, so it is the gradient of the smooth resize. The order of the passes is
    that of ``runtime.resize``.
    """
    height, width = images.shape[-2:]
    new_width, new_height = _fit(width, height, side)

    def along_width(x: Tensor) -> Tensor:
        return round8((x @ constant(weights, width, new_width, like=x).T).clamp(0, 1)) if width != new_width else x

    def along_height(x: Tensor) -> Tensor:
        return round8((constant(weights, height, new_height, like=x) @ x).clamp(0, 1)) if height != new_height else x

    x = images.float()
    tall = height_first(width, height, new_height)
    x = along_width(along_height(x)) if tall else along_height(along_width(x))
    left, top = _margin(new_width - side, crop), _margin(new_height - side, crop)
    return normalise(x[..., top : top + side, left : left + side])


def letterbox_pil(images: Sequence[Image], side: int) -> Tensor:
    """Returns [N, 3, side, side], normalised, as HPSv2 does: longest side ``side``, black bars around.

    The resize works on floats in one pass, so values may leave [0, 1]; the bars are black before normalisation.
    """
    boxed = []
    for image in images:
        x = _tensor(image.convert("RGB"))[None]
        height, width = _longest(x, side)
        if x.shape[-2:] != (height, width):
            x = interpolate(x, (height, width), mode="bicubic", align_corners=False, antialias=True)
        boxed.append(_box(x, side))
    return normalise(torch.cat(boxed))


def letterbox_tensor(images: Tensor, side: int) -> Tensor:
    """Returns what ``letterbox_pil`` returns, for tensors [N, 3, H, W] in [0, 1], by two matrix products."""
    x = images.float()
    height, width = _longest(x, side)
    if x.shape[-1] != width:
        x = x @ constant(weights, x.shape[-1], width, like=x).T
    if x.shape[-2] != height:
        x = constant(weights, x.shape[-2], height, like=x) @ x
    return normalise(_box(x, side))


def aliased_tensor(images: Tensor, side: int) -> Tensor:
    """Returns [N, 3, side, side], normalised, of tensors [N, 3, H, W] in [0, 1], as SPO's preference model was trained.

    A bicubic resize of the shortest side without antialiasing, clamped to [0, 1], and a centre crop.
    """
    high, wide = images.shape[-2:]
    _require(too_long(wide, high, side))
    scale = side / min(high, wide)
    size = (max(side, round(high * scale)), max(side, round(wide * scale)))
    resized = interpolate(images.float(), size, mode="bicubic", align_corners=False).clamp(0, 1)
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    return normalise(resized[..., top : top + side, left : left + side])


def round8(images: Tensor) -> Tensor:
    """Returns values in [0, 1] rounded to the nearest multiple of 1/255, with the gradient of the identity."""
    return images + ((images * 255).round() / 255 - images).detach()


def weights(old: int, new: int) -> Tensor:
    """Returns the antialiased bicubic resize of a line of ``old`` pixels as a matrix [new, old].

    The matrix product is deterministic on every device; the backward pass of ``interpolate`` is not.
    """
    identity = torch.eye(old, dtype=torch.float64)[None, None]
    resized = interpolate(identity, (new, old), mode="bicubic", align_corners=False, antialias=True)
    return resized[0, 0].float()


def _mean_and_deviation(dtype: torch.dtype) -> Tensor:
    """Returns [2, 3, 1, 1]: mean and deviation of each colour channel on CLIP's training images."""
    return torch.tensor((MEAN, STD), dtype=dtype).view(2, 3, 1, 1)


def _tensor(image: Image) -> Tensor:
    """Returns an RGB image as float32 [3, H, W] in [0, 1]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def _shortest(image: Image, side: int, crop: Crop, rgb_first: bool) -> Image:
    """Returns the RGB image, resized and cropped to ``side`` x ``side``."""
    if rgb_first:
        image = image.convert("RGB")
    width, height = _fit(*image.size, side)
    if image.size != (width, height):
        image = resize(image, (width, height), Resampling.BICUBIC)
    left, top = _margin(width - side, crop), _margin(height - side, crop)
    return image.crop((left, top, left + side, top + side)).convert("RGB")


def _fit(width: int, height: int, side: int) -> tuple[int, int]:
    """Returns (width, height) with the shortest side ``side``; the longest is rounded down, as in both libraries.

    Errors: UsageError for an image that would be too large.
    """
    _require(too_long(width, height, side))
    short, long = min(width, height), max(width, height)
    longest = int(side * long / short)
    return (side, longest) if width <= height else (longest, side)


def _longest(x: Tensor, side: int) -> tuple[int, int]:
    """Returns (height, width) with the longest side ``side``. Errors: UsageError for an image without a pixel left."""
    height, width = x.shape[-2:]
    _require(too_thin(width, height, side))
    scale = side / max(height, width)
    return round(height * scale), round(width * scale)


def too_long(width: int, height: int, side: int) -> str | None:
    """Returns why an image cannot be resized to the shortest side ``side``, or None."""
    short, long = min(width, height), max(width, height)
    if side * int(side * long / short) <= MAX_RESIZED:
        return None
    return f"its sides of {width} and {height} pixels differ too much: scaled to {side} pixels it would fill the memory"


def too_thin(width: int, height: int, side: int) -> str | None:
    """Returns why an image cannot be resized to the longest side ``side``, or None."""
    if round(min(width, height) * (side / max(width, height))):
        return None
    return f"its sides of {width} and {height} pixels differ too much: scaled to {side} pixels nothing is left of it"


def _require(reason: str | None) -> None:
    if reason:
        raise UsageError("an image cannot be scored", reason, "crop it, or take it out")


def _margin(spare: int, crop: Crop) -> int:
    """Returns the pixels to cut at the left or the top, of ``spare`` in all."""
    return round(spare / 2) if crop == "round" else spare // 2


def _box(x: Tensor, side: int) -> Tensor:
    """Returns images padded with zeros to ``side`` x ``side``, centred."""
    height, width = x.shape[-2:]
    spare_w, spare_h = side - width, side - height
    return pad(x, (spare_w // 2, spare_w - spare_w // 2, spare_h // 2, spare_h - spare_h // 2))


@dataclass(frozen=True)
class Transform:
    """One authors' preprocessing for both scoring paths; the functions take the side in pixels."""

    from_pil: Callable[[Sequence[Image], int], Tensor]
    from_tensor: Callable[[Tensor, int], Tensor]
    refuses: Callable[[int, int, int], str | None]
    """Returns why an image of this width and height cannot be resized to a side, or None."""


TRANSFORMS = {
    "torchvision": Transform(
        partial(clip_pil, crop="round", rgb_first=False),
        partial(clip_tensor, crop="round"),
        too_long,
    ),
    "transformers": Transform(
        partial(clip_pil, crop="floor", rgb_first=True),
        partial(clip_tensor, crop="floor"),
        too_long,
    ),
    "letterbox": Transform(letterbox_pil, letterbox_tensor, too_thin),
}
"""The transforms by name; README.md says which reward has which."""

"""From images to what a tower reads: the authors' own resize and crop, and the same with a gradient.

Every reward here normalises by the same mean and deviation; they differ in how they resize and crop (README.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from PIL.Image import Image, Resampling
from torch import Tensor
from torch.nn.functional import interpolate, pad

from ._constants import constant

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)

Crop = Literal["round", "floor"]
"""How an odd margin is split: torchvision rounds half of it, transformers takes the floor."""


def normalise(images: Tensor) -> Tensor:
    """[N, 3, H, W] in [0, 1] to mean 0 and deviation 1 on CLIP's training images."""
    mean, std = constant(_mean_and_deviation, images.dtype, like=images)
    return (images - mean) / std


def clip_pil(images: Sequence[Image], side: int, crop: Crop, rgb_first: bool) -> Tensor:
    """[N, 3, side, side], normalised: PIL's bicubic on the shortest side, a centre crop, 8 bits throughout.

    ``rgb_first``: whether other modes become RGB before the resize (transformers) or after the crop (OpenAI's CLIP).
    """
    return normalise(torch.stack([_tensor(_shortest(image, side, crop, rgb_first)) for image in images]))


def clip_tensor(images: Tensor, side: int, crop: Crop) -> Tensor:
    """The same for tensors [N, 3, H, W] in [0, 1]: PIL's two passes, each clamped and rounded to 8 bits.

    The rounding passes the gradient straight through, so it is that of the smooth resize. PIL goes along the width
    first, except where it shrinks a picture that is more than twice as high as wide (Pillow 13, by trying 600 sizes).
    """
    height, width = images.shape[-2:]
    new_width, new_height = _fit(width, height, side)

    def along_width(x: Tensor) -> Tensor:
        return round8((x @ constant(weights, width, new_width, like=x).T).clamp(0, 1)) if width != new_width else x

    def along_height(x: Tensor) -> Tensor:
        return round8((constant(weights, height, new_height, like=x) @ x).clamp(0, 1)) if height != new_height else x

    x = images.float()
    tall = height > 2 * width and new_height < height
    x = along_width(along_height(x)) if tall else along_height(along_width(x))
    left, top = _margin(new_width - side, crop), _margin(new_height - side, crop)
    return normalise(x[..., top : top + side, left : left + side])


def letterbox_pil(images: Sequence[Image], side: int) -> Tensor:
    """[N, 3, side, side], normalised, as HPSv2 does it: the longest side becomes ``side``, black bars fill the rest.

    The resize works on floats in one pass and may leave [0, 1]; the bars are black before normalisation.
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
    """The same for tensors [N, 3, H, W] in [0, 1], as two matrix products."""
    x = images.float()
    height, width = _longest(x, side)
    if x.shape[-1] != width:
        x = x @ constant(weights, x.shape[-1], width, like=x).T
    if x.shape[-2] != height:
        x = constant(weights, x.shape[-2], height, like=x) @ x
    return normalise(_box(x, side))


def round8(images: Tensor) -> Tensor:
    """[0, 1] to the nearest multiple of 1/255, with the gradient of the identity."""
    return images + ((images * 255).round() / 255 - images).detach()


def weights(old: int, new: int) -> Tensor:
    """The antialiased bicubic resize of a line of ``old`` pixels as a matrix [new, old].

    A product with it is deterministic on every device, which the backward pass of ``interpolate`` is not.
    """
    identity = torch.eye(old, dtype=torch.float64)[None, None]
    resized = interpolate(identity, (new, old), mode="bicubic", align_corners=False, antialias=True)
    return resized[0, 0].float()


def _mean_and_deviation(dtype: torch.dtype) -> Tensor:
    """[2, 3, 1, 1]: of a colour's values on CLIP's training images."""
    return torch.tensor((MEAN, STD), dtype=dtype).view(2, 3, 1, 1)


def _tensor(image: Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def _shortest(image: Image, side: int, crop: Crop, rgb_first: bool) -> Image:
    if rgb_first:
        image = image.convert("RGB")
    width, height = _fit(*image.size, side)
    if image.size != (width, height):
        image = image.resize((width, height), Resampling.BICUBIC)
    left, top = _margin(width - side, crop), _margin(height - side, crop)
    return image.crop((left, top, left + side, top + side)).convert("RGB")


def _fit(width: int, height: int, side: int) -> tuple[int, int]:
    """The size whose shortest side is ``side``; the other is rounded down, as torchvision and transformers do."""
    short, long = min(width, height), max(width, height)
    other = int(side * long / short)
    return (side, other) if width <= height else (other, side)


def _longest(x: Tensor, side: int) -> tuple[int, int]:
    height, width = x.shape[-2:]
    scale = side / max(height, width)
    return round(height * scale), round(width * scale)


def _margin(spare: int, crop: Crop) -> int:
    return round(spare / 2) if crop == "round" else spare // 2


def _box(x: Tensor, side: int) -> Tensor:
    height, width = x.shape[-2:]
    spare_w, spare_h = side - width, side - height
    return pad(x, (spare_w // 2, spare_w - spare_w // 2, spare_h // 2, spare_h - spare_h // 2))

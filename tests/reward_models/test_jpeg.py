"""JPEG size in kB."""

import io

import numpy as np
import pytest
from PIL import Image

from benchbench.reward_models.jpeg_compressibility import JPEGCompressibility
from benchbench.reward_models.jpeg_incompressibility import JPEGIncompressibility


def _noise(side: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8))


def test_is_the_length_of_the_file_in_thousands_of_bytes() -> None:
    """Incompressibility is +bytes / 1000 at quality 95, compressibility its negative."""
    image, file = _noise(64), io.BytesIO()
    image.save(file, "JPEG", quality=95)
    size = len(file.getvalue()) / 1000
    assert JPEGIncompressibility().score([image], [""]).tolist() == pytest.approx([size])
    assert JPEGCompressibility().score([image], [""]).tolist() == pytest.approx([-size])


def test_blank_picture_is_little_more_than_its_header() -> None:
    """The fixed tables (two of 64 quantisers, four of Huffman codes: 2 x 67 + 31 + 181 + 31 + 181 bytes and markers)
    make up about 600 bytes, so a blank 32x32 picture lies between .6 and .7 kB.
    """
    size = JPEGIncompressibility().score([Image.new("RGB", (32, 32), (200, 30, 30))], [""]).item()
    assert 0.6 < size < 0.7


def test_detail_costs_bytes() -> None:
    """Noise is larger than blank, in the right direction for both."""
    pictures = [_noise(32), Image.new("RGB", (32, 32))]
    large, small = JPEGIncompressibility().score(pictures, ["", ""]).tolist()
    assert large > 2 * small


def test_has_no_gradient() -> None:
    """Asking for one is an error, not a zero."""
    import torch

    assert not JPEGCompressibility.differentiable
    with pytest.raises(TypeError):
        JPEGCompressibility().score_differentiable(torch.rand(1, 3, 32, 32), [""])

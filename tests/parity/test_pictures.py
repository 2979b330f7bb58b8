"""Made pictures meet every branch of the resizes, and prompts hold what tokenizers treat apart."""

from __future__ import annotations

import html
import math
from pathlib import Path

import ftfy
import pytest
from PIL import Image

from benchbench.errors import CorruptError
from benchbench.parity import pictures


def test_a_made_picture_depends_on_its_number_alone() -> None:
    assert pictures.made(7).tobytes() == pictures.made(7).tobytes() != pictures.made(7 + len(pictures.SIZES)).tobytes()


def test_sizes_meet_every_branch() -> None:
    """224 is the side of the networks' pictures."""
    assert any(size == (224, 224) for size in pictures.SIZES)
    assert any(max(size) < 224 for size in pictures.SIZES), "one that grows"
    assert any(min(size) == 224 < max(size) for size in pictures.SIZES), "one that is only cropped"
    assert any(w > h > 224 for w, h in pictures.SIZES) and any(224 < w < h for w, h in pictures.SIZES)
    assert any(h > 2 * w for w, h in pictures.SIZES), "one that is very tall"
    assert any((224 * max(size) // min(size) - 224) % 2 for size in pictures.SIZES), "an odd margin"


def test_every_size_meets_every_prompt() -> None:
    assert math.gcd(len(pictures.SIZES), len(pictures.PROMPTS)) == 1


def test_prompts_hold_what_tokenizers_treat_apart() -> None:
    texts = pictures.prompts(len(pictures.PROMPTS))
    assert pictures.prompts(3) == texts[:3] and pictures.prompts(len(texts) + 1)[-1] == texts[0]
    assert all(text.strip() for text in texts)
    assert sum(ftfy.fix_text(text) != text for text in texts) >= 4 and any(
        html.unescape(text) != text for text in texts
    )
    assert max(len(text.split()) for text in texts) > 50, "more tokens than 77"


def test_made_pictures_are_written_as_rgb_png(tmp_path: Path) -> None:
    paths = pictures.write_made(3, tmp_path)
    for number, path in enumerate(paths):
        with Image.open(path) as image:
            assert image.format == "PNG" and image.mode == "RGB" and image.tobytes() == pictures.made(number).tobytes()


def test_pictures_of_others_are_copied_as_our_reader_reads_them(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (40, 30), (200, 0, 0, 0))
    clear.save(tmp_path / "clear.webp", lossless=True)
    lines: list[str] = []
    (tmp_path / "out").mkdir()
    (path,) = pictures.write_copies([tmp_path / "clear.webp"], tmp_path / "out", lines.append)
    with Image.open(path) as image:
        assert image.mode == "RGB" and image.getpixel((5, 5)) == (255, 255, 255)
    assert len(lines) == 1 and "clear.webp" in lines[0]


@pytest.mark.parametrize(("size", "noted"), [((240, 481), True), ((240, 480), False), ((224, 600), False)])
def test_pictures_that_pillows_versions_resize_in_two_orders_are_noted(
    tmp_path: Path, size: tuple[int, int], noted: bool
) -> None:
    """They are over twice as high as wide, and get smaller."""
    Image.new("RGB", size).save(tmp_path / "tall.png")
    lines: list[str] = []
    (tmp_path / "out").mkdir()
    pictures.write_copies([tmp_path / "tall.png"], tmp_path / "out", lines.append)
    assert [line.startswith("1 picture over twice as high as wide") for line in lines] == [True] * noted


def test_no_made_picture_is_resized_in_two_orders() -> None:
    assert not any(pictures._resized_height_first(*size) for size in pictures.SIZES)


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(CorruptError, match=r"bad\.png"):
        pictures.write_copies([tmp_path / "bad.png"], tmp_path, print)

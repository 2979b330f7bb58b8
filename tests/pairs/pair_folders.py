"""Writes pairs in every format that is read; each picture is of one colour, which says which it is."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from benchbench.pairs.files import PairFiles
from benchbench.runtime.hashing import file_sha256

LEFT_ALONE = (
    "best_image_uid", "created_at", "image_0_uid", "image_0_url", "image_1_uid", "image_1_url", "model_0", "model_1",
    "ranking_id", "user_id",
)  # fmt: skip
"""Columns of a shard of Pick-a-Pic, v1 and v2, that are not read."""


def picture(grey: int, size: tuple[int, int] = (8, 8), kind: str = "PNG") -> bytes:
    """Returns the bytes of a picture of one grey."""
    data = io.BytesIO()
    Image.new("RGB", size, (grey, grey, grey)).save(data, kind)
    return data.getvalue()


def grey(image: Image.Image) -> int:
    """Returns the grey at the middle of a picture."""
    found = image.getpixel((image.width // 2, image.height // 2))
    assert isinstance(found, tuple) and image.mode == "RGB"
    return int(found[0])


def rows(count: int) -> list[dict[str, Any]]:
    """Row i: caption "caption i", a winner of grey 2 i and a loser of grey 2 i + 1."""
    return [{"caption": f"caption {i}", "winner": picture(2 * i), "loser": picture(2 * i + 1)} for i in range(count)]


def write_parquet(path: Path, of: Sequence[dict[str, Any]], group: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(of)), path, row_group_size=group)
    return path


def write_pickapic(path: Path, labels: Sequence[tuple[float | None, float | None]], **change: Sequence[Any]) -> Path:
    """A shard with the real columns: row i has greys 2 i and 2 i + 1 (JPEG bytes), and the labels given."""
    made = []
    for i, (first, second) in enumerate(labels):
        row: dict[str, Any] = dict.fromkeys(LEFT_ALONE, f"some {i}")
        row |= {"caption": f"caption {i}", "label_0": first, "label_1": second, "has_label": True}
        row |= {"jpg_0": picture(2 * i, kind="JPEG"), "jpg_1": picture(2 * i + 1, kind="JPEG")}
        row |= {"are_different": True, "num_example_per_prompt": 1, "__index_level_0__": i}
        row |= {name: values[i] for name, values in change.items()}
        made.append(row)
    return write_parquet(path, made, group=2)


def opened(*paths: Path, nodup: bool = False, skip_bad: bool = True, ties: bool = False) -> PairFiles:
    return PairFiles("test", paths, file_sha256, nodup=nodup, skip_bad=skip_bad, ties=ties)


def read(pairs: PairFiles) -> list[tuple[str, int, int]]:
    """Returns the caption and greys of every pair."""
    raws = [pairs[i] for i in range(len(pairs))]
    return [(raw.caption, grey(raw.winner), grey(raw.loser)) for raw in raws]

"""Pairs in files: our own format (columns caption, winner, loser), and unmodified shards of Pick-a-Pic v1 and v2.

Only the numbers of the rows that are pairs are kept in memory, eight bytes each. Rows are read when they are needed.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from benchbench.errors import CorruptError, UsageError
from benchbench.noise import Noise
from benchbench.pairs.columns import (
    LABEL_COLUMNS,
    OUR_COLUMNS,
    PICKAPIC_COLUMNS,
    check_types,
    is_ours,
    label,
    named_file,
    picture_bytes,
    truth,
)
from benchbench.pairs.dataset import BadRow, RawPair, checked_caption, decode_picture
from benchbench.pairs.row_files import RowFile, open_rows
from benchbench.runtime.changed_pictures import ChangedPictures
from benchbench.runtime.hashing import bytes_sha256, canonical, text_sha256
from benchbench.runtime.picture_bytes import read_bytes

Hash = Callable[[Path], str]


class PairFiles:
    """A PairSet of the rows of one or more files, in their order.

    ``nodup`` keeps one row per caption, the first in a random order that can be read; ``ties`` keeps ties, which are
    left out otherwise. ``counts`` has the number of all ``rows`` in the files, of ``ties``, and of rows left out as
    ``unlabelled`` (no label, or ``has_label`` is false), ``undecided`` (another label, as 1 for both) or
    ``duplicates``; ``changed`` those pictures read so far that were not 8-bit RGB. Errors: UsageError, CorruptError.
    """

    def __init__(
        self, name: str, paths: Sequence[Path], hash_of: Hash, *, nodup: bool, skip_bad: bool, ties: bool
    ) -> None:
        self.name, self.skip_bad = name, skip_bad
        self._files = [open_rows(path) for path in paths]
        self._is_ours = [is_ours(file) for file in self._files]
        for file, ours in zip(self._files, self._is_ours, strict=True):
            check_types(file, ours)
        self._starts = list(accumulate((len(file) for file in self._files), initial=0))
        self.changed = ChangedPictures()
        self.counts = {"rows": self._starts[-1], "ties": 0, "unlabelled": 0, "undecided": 0, "duplicates": 0}
        rows = [self._find_pairs(n, ties) for n in range(len(self._files))]
        self._rows = np.concatenate(rows) if rows else np.empty(0, np.int64)
        self._others: tuple[np.ndarray, np.ndarray] | None = None
        if nodup:
            self._drop_duplicates()
        if not len(self._rows):
            raise UsageError(
                f"there is no pair in {name}",
                "of its {rows} rows, {ties} are ties, {unlabelled} have no label and {undecided} another label".format(
                    **self.counts
                ),
                "name other files",
            )
        files = [[hash_of(file.path), _hash_pictures(file, hash_of)] for file in self._files]
        self.hash = text_sha256(canonical({"files": files, "nodup": nodup, "ties": ties}))

    def __len__(self) -> int:
        return len(self._rows)

    def place(self, i: int) -> str:
        """Returns the file name and row of pair i, for messages."""
        file, row, _ = self._locate(self._candidates(i)[0])
        return file.place(row)

    def __getitem__(self, i: int) -> RawPair:
        first_error: BadRow | None = None
        for row in self._candidates(i):
            try:
                return self._read(row)
            except BadRow as bad:
                first_error = first_error or bad
        assert first_error is not None  # there is always a candidate
        raise first_error

    def _candidates(self, i: int) -> list[int]:
        """Returns the rows of pair i: one, or with ``nodup`` all of its caption, the kept one first. IndexError."""
        if not 0 <= i < len(self):
            raise IndexError(i)
        if self._others is None:
            return [int(self._rows[i])]
        rows, starts = self._others
        return [int(row) for row in rows[starts[i] : starts[i + 1]]]

    def _read(self, global_row: int) -> RawPair:
        """Returns the pair in a row. Errors: BadRow."""
        file, row, ours = self._locate(global_row)
        place = file.place(row)
        if ours:
            values = file.row(row, OUR_COLUMNS)
            sides = {side: values.get(side) for side in ("winner", "loser")}
            swapped = tie = False
        else:
            values = file.row(row, (*PICKAPIC_COLUMNS, *LABEL_COLUMNS))
            first = label(values["label_0"])
            swapped, tie = first == 0, first == 0.5
            names = ("jpg_1", "jpg_0") if swapped else ("jpg_0", "jpg_1")
            sides = {side: values[name] for side, name in zip(("winner", "loser"), names, strict=True)}
        caption = checked_caption(place, values.get("caption"))
        data = {side: _read_picture(file, place, side, value) for side, value in sides.items()}
        pictures = {side: decode_picture(place, side, value) for side, value in data.items()}
        for side, picture in pictures.items():
            self.changed.add(picture.changes, (global_row, side), f"{place} ({side})")
        return RawPair(caption, pictures["winner"].image, pictures["loser"].image, swapped, tie)

    def captions(self) -> Iterator[str]:
        """Yields every pair's caption in order; an empty one where the row has none."""
        pair_rows = iter(self._rows.tolist())
        next_row = next(pair_rows, -1)
        for file, start in zip(self._files, self._starts, strict=False):
            for row, values in enumerate(file.scan(("caption",)), start):
                if row == next_row:
                    caption = values.get("caption")
                    yield caption if isinstance(caption, str) else ""
                    next_row = next(pair_rows, -1)

    def _locate(self, row: int) -> tuple[RowFile, int, bool]:
        """Returns the file of a row, the row in it, and whether it is in our own format."""
        n = bisect_right(self._starts, row) - 1
        return self._files[n], row - self._starts[n], self._is_ours[n]

    def _find_pairs(self, n: int, ties: bool) -> np.ndarray:
        """Returns the rows of file n that are pairs, int64, numbered over all files; counts those left out."""
        file, start = self._files[n], self._starts[n]
        if self._is_ours[n]:
            return np.arange(start, start + len(file), dtype=np.int64)
        keep = np.zeros(len(file), dtype=bool)
        for row, values in enumerate(file.scan(LABEL_COLUMNS)):
            first, second, labelled = _labels(file, row, values)
            if first == second == 0.5:
                self.counts["ties"] += 1
                keep[row] = ties
            elif labelled is False or first is None or second is None:
                self.counts["unlabelled"] += 1
            elif (first, second) not in ((0, 1), (1, 0)):
                self.counts["undecided"] += 1
            else:
                keep[row] = True
        return start + np.flatnonzero(keep)

    def _drop_duplicates(self) -> None:
        """Keeps one row per caption: the first in a random order, which is the same each time the set is opened."""
        digests = (hashlib.blake2b(_encoded(caption), digest_size=8).digest() for caption in self.captions())
        captions = np.frombuffer(b"".join(digests), dtype=np.int64)
        order = np.array(Noise(0, "pairs").permutation(len(captions), "nodup"), dtype=np.int64)
        _, first, caption_of = np.unique(captions[order], return_index=True, return_inverse=True)
        by_row = np.argsort(order[first])  # the captions in the order of their kept rows
        grouped = order[np.lexsort((np.arange(len(order)), np.argsort(by_row)[caption_of]))]
        self._others = self._rows[grouped], np.append(0, np.cumsum(np.bincount(caption_of)[by_row]))
        self.counts["duplicates"] = len(captions) - len(first)
        self._rows = self._rows[order[first][by_row]]


def _labels(file: RowFile, row: int, values: dict[str, Any]) -> tuple[float | None, float | None, bool | None]:
    """Returns label_0, label_1 and has_label of a row; without a label_1 it is 1 - label_0. Errors: UsageError."""
    try:
        first = label(values["label_0"])
        second = label(values.get("label_1")) if "label_1" in file.columns else None if first is None else 1 - first
        return first, second, truth(values.get("has_label"))
    except (ValueError, TypeError, OverflowError) as error:
        raise UsageError(
            f"the labels of {file.path} cannot be read",
            f"{file.place(row)}: {error}",
            "labels are 0, 1 or 0.5 for a tie, and has_label is true or false",
        ) from error


def _encoded(caption: str) -> bytes:
    """Returns the caption in UTF-8; half characters, which JSON can hold, are kept apart."""
    return caption.encode("utf-8", "surrogatepass")


def _read_picture(file: RowFile, place: str, side: str, value: object) -> object:
    """Returns a picture's bytes: those in the row, or the content of the file that it names. Errors: BadRow."""
    name = named_file(value)
    if name is None:
        return picture_bytes(value)
    path = _picture_path(file, place, name)
    try:
        return read_bytes(path)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise BadRow(place, f"the {side} {name!r:.100} cannot be read ({why})") from error


def _picture_path(file: RowFile, place: str, name: str) -> Path:
    """Returns the path of a picture named in a row, which is relative to the folder of ``file``.

    Errors: CorruptError where it lies outside that folder, also through a symbolic link, and for a pipe or a device,
    which might never end; BadRow for a name that no file can have.
    """
    folder = file.path.parent.resolve()
    try:
        path = None if "\0" in name else (folder / name).resolve()
        special = path is not None and path.exists() and not (path.is_file() or path.is_dir())
    except (OSError, ValueError, RuntimeError) as error:  # too long, half a character, a loop of links
        raise BadRow(place, f"the name {name!r:.100} cannot be read ({type(error).__name__})") from error
    if path is None or not path.is_relative_to(folder) or special:
        what = "no regular file" if special else "outside the folder of the file"
        raise CorruptError(
            f"the pairs in {file.path} are refused",
            f"{place} names {name!r:.200}, which is {what}",
            "copy the pictures beside the file and name them relative to it",
        )
    return path


def _hash_pictures(file: RowFile, hash_of: Hash) -> str:
    """Returns one hash of all pictures that the rows name as files, in order. Errors: CorruptError (_picture_path)."""
    sides = [side for side in ("winner", "loser", "jpg_0", "jpg_1") if side in file.path_columns]
    if not sides:
        return ""  # the pictures are in the rows, which the hash of the file itself covers
    return bytes_sha256(
        _named_hash(file, file.place(row), name, hash_of).encode()
        for row, values in enumerate(file.scan(sides))
        for name in map(named_file, values.values())
        if name is not None
    )


def _named_hash(file: RowFile, place: str, name: str, hash_of: Hash) -> str:
    try:
        path = _picture_path(file, place, name)
        return hash_of(path) if path.is_file() else "missing"  # opening a pipe would wait for its writer
    except (OSError, BadRow):
        return "missing"

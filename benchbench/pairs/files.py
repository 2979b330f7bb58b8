"""Pairs in files: our own format (columns caption, winner, loser), and unmodified shards of Pick-a-Pic v1 and v2.

Only the numbers of the rows that are pairs are kept in memory, eight bytes each. Rows are read when they are needed.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from benchbench.errors import CorruptError, UsageError
from benchbench.noise import Noise
from benchbench.pairs.dataset import BadRow, RawPair, checked_caption, decode_picture
from benchbench.pairs.row_files import RowFile, open_rows
from benchbench.runtime.hashing import bytes_sha256, canonical, text_sha256

OUR_COLUMNS = ("caption", "winner", "loser")
PICKAPIC_COLUMNS = ("caption", "jpg_0", "jpg_1", "label_0")
LABEL_COLUMNS = ("label_0", "label_1", "has_label")
Hash = Callable[[Path], str]


class PairFiles:
    """A PairSet of the rows of one or more files, in their order.

    ``nodup`` keeps one row per caption, chosen at random; ``ties`` keeps ties, which are left out otherwise.
    ``counts`` has the number of all ``rows`` in the files, of ``ties``, and of rows left out as ``unlabelled`` or
    ``duplicates``. Errors: UsageError, CorruptError.
    """

    def __init__(
        self, name: str, paths: Sequence[Path], hash_of: Hash, *, nodup: bool, skip_bad: bool, ties: bool
    ) -> None:
        self.name, self.skip_bad = name, skip_bad
        self._files = [open_rows(path) for path in paths]
        self._is_ours = [_is_ours(file) for file in self._files]
        self._starts = list(accumulate((len(file) for file in self._files), initial=0))
        self.counts = {"rows": self._starts[-1], "ties": 0, "unlabelled": 0, "duplicates": 0}
        rows = [self._find_pairs(n, ties) for n in range(len(self._files))]
        self._rows = np.concatenate(rows) if rows else np.empty(0, np.int64)
        if nodup:
            self._drop_duplicates()
        if not len(self._rows):
            raise UsageError(
                f"there is no pair in {name}",
                "of its {rows} rows, {ties} are ties and {unlabelled} have no label".format(**self.counts),
                "name other files",
            )
        files = [
            [hash_of(file.path), _hash_pictures(file, hash_of) if is_ours else ""]
            for file, is_ours in zip(self._files, self._is_ours, strict=True)
        ]
        self.hash = text_sha256(canonical({"files": files, "nodup": nodup, "ties": ties}))

    def __len__(self) -> int:
        return len(self._rows)

    def place(self, i: int) -> str:
        """Returns the file name and row of pair i, for messages."""
        file, row, _ = self._locate(i)
        return file.place(row)

    def __getitem__(self, i: int) -> RawPair:
        file, row, is_ours = self._locate(i)
        place = file.place(row)
        if is_ours:
            values = file.row(row, OUR_COLUMNS)
            sides = {side: _picture_bytes(file, place, side, values.get(side)) for side in ("winner", "loser")}
            swapped = tie = False
        else:
            values = file.row(row, (*PICKAPIC_COLUMNS, *LABEL_COLUMNS))
            swapped, tie = values["label_0"] == 0, values["label_0"] == 0.5
            names = ("jpg_1", "jpg_0") if swapped else ("jpg_0", "jpg_1")
            sides = {side: values[name] for side, name in zip(("winner", "loser"), names, strict=True)}
        caption = checked_caption(place, values.get("caption"))
        winner, loser = (decode_picture(place, side, data) for side, data in sides.items())
        return RawPair(caption, winner, loser, swapped, tie)

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

    def _locate(self, i: int) -> tuple[RowFile, int, bool]:
        """Returns the file of pair i, the row in it, and whether it is in our own format. Errors: IndexError."""
        if not 0 <= i < len(self):
            raise IndexError(i)
        row = int(self._rows[i])
        n = bisect_right(self._starts, row) - 1
        return self._files[n], row - self._starts[n], self._is_ours[n]

    def _find_pairs(self, n: int, ties: bool) -> np.ndarray:
        """Returns the rows of file n that are pairs, int64, numbered over all files; counts those left out."""
        file, start = self._files[n], self._starts[n]
        if self._is_ours[n]:
            return np.arange(start, start + len(file), dtype=np.int64)
        keep = np.zeros(len(file), dtype=bool)
        for row, values in enumerate(file.scan(LABEL_COLUMNS)):
            first = values["label_0"]
            second = values.get("label_1", None if first is None else 1 - first)
            if first == second == 0.5:
                self.counts["ties"] += 1
                keep[row] = ties
            elif values.get("has_label") is False or (first, second) not in ((0, 1), (1, 0)):
                self.counts["unlabelled"] += 1
            else:
                keep[row] = True
        return start + np.flatnonzero(keep)

    def _drop_duplicates(self) -> None:
        """Keeps one row per caption: the first in a random order, which is the same each time the set is opened."""
        digests = (hashlib.blake2b(caption.encode(), digest_size=8).digest() for caption in self.captions())
        captions = np.frombuffer(b"".join(digests), dtype=np.int64)
        order = np.array(Noise(0, "pairs").permutation(len(captions), "nodup"), dtype=np.int64)
        _, first = np.unique(captions[order], return_index=True)
        kept = np.sort(order[first])
        self.counts["duplicates"] = len(captions) - len(kept)
        self._rows = self._rows[kept]


def _is_ours(file: RowFile) -> bool:
    """Returns True for our own columns, False for those of Pick-a-Pic. Errors: UsageError for neither."""
    if file.columns.issuperset(OUR_COLUMNS):
        return True
    if file.columns.issuperset(PICKAPIC_COLUMNS):
        return False
    nearest = min((OUR_COLUMNS, PICKAPIC_COLUMNS), key=lambda names: len(set(names) - file.columns))
    missing = [name for name in nearest if name not in file.columns]
    raise UsageError(
        f"{file.path} does not hold pairs",
        f"it has no column {', '.join(missing)} (it has {', '.join(sorted(file.columns)) or 'none'})",
        f"give it the columns {', '.join(OUR_COLUMNS)}, see docs/pairs.md",
    )


def _picture_bytes(file: RowFile, place: str, side: str, value: object) -> object:
    """Returns a picture's bytes: the value itself, or the content of the file that it names. Errors: BadRow."""
    if not isinstance(value, str):
        return value
    try:
        return _picture_path(file, place, value).read_bytes()
    except OSError as error:
        raise BadRow(place, f"the {side} {value!r} cannot be read ({error.strerror})") from error


def _picture_path(file: RowFile, place: str, name: str) -> Path:
    """Returns the path of a picture named in a row, which is relative to the folder of ``file``.

    Errors: CorruptError where it lies outside that folder, also through a symbolic link.
    """
    folder = file.path.parent.resolve()
    path = None if "\0" in name else (folder / name).resolve()
    if path is None or not path.is_relative_to(folder):
        raise CorruptError(
            f"the pairs in {file.path} are refused",
            f"{place} names {name!r}, which is outside the folder of the file",
            "copy the pictures beside the file and name them relative to it",
        )
    return path


def _hash_pictures(file: RowFile, hash_of: Hash) -> str:
    """Returns one hash of all pictures that the rows name as files, in order. Errors: CorruptError (_picture_path)."""
    sides = [side for side in ("winner", "loser") if side in file.text_columns]
    if not sides:
        return ""  # the pictures are in the rows, which the hash of the file itself covers
    return bytes_sha256(
        _file_hash(_picture_path(file, file.place(row), value), hash_of).encode()
        for row, values in enumerate(file.scan(sides))
        for value in values.values()
        if isinstance(value, str)
    )


def _file_hash(path: Path, hash_of: Hash) -> str:
    try:
        return hash_of(path)
    except OSError:
        return "missing"

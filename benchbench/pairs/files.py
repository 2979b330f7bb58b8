"""Pairs in files: our own columns (caption, winner, loser), and Pick-a-Pic's shards, v1 and v2, as they are.

In memory are eight bytes a row: which rows of the files are pairs. Everything else is read when a row is asked for.
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
from benchbench.pairs.dataset import BadRow, RawPair, decode, text
from benchbench.pairs.tables import Table, open_table
from benchbench.runtime.hashing import bytes_sha256, canonical, text_sha256

OWN = ("caption", "winner", "loser")
PICKAPIC = ("caption", "jpg_0", "jpg_1", "label_0")
JUDGED = ("label_0", "label_1", "has_label")
Hash = Callable[[Path], str]


class PairFiles:
    """A PairSet of the rows of files, in their order.

    ``counts`` has the files' rows: all ``rows``, those that are ``ties`` or ``unlabelled`` (left out), and
    ``duplicates`` (left out by ``nodup``, which keeps one row a caption at random). Errors: UsageError, CorruptError.
    """

    def __init__(
        self, name: str, paths: Sequence[Path], hash_of: Hash, *, nodup: bool, skip_bad: bool, ties: bool
    ) -> None:
        self.name, self.skip_bad = name, skip_bad
        self._tables = [open_table(path) for path in paths]
        self._ours = [_is_ours(table) for table in self._tables]
        self._starts = list(accumulate((len(table) for table in self._tables), initial=0))
        self.counts = {"rows": self._starts[-1], "ties": 0, "unlabelled": 0, "duplicates": 0}
        parts = [self._pairs_of(n, ties) for n in range(len(self._tables))]
        self._rows = np.concatenate(parts) if parts else np.empty(0, np.int64)
        if nodup:
            self._drop_duplicates()
        if not len(self._rows):
            raise UsageError(f"there is no pair in {name}", f"of its rows are {self.counts}", "name other files")
        files = [[hash_of(t.path), _pictures(t, hash_of) if o else ""] for t, o in self._both()]
        kept = {"files": files, "nodup": nodup, "ties": ties}
        self.hash = text_sha256(canonical(kept))

    def __len__(self) -> int:
        return len(self._rows)

    def place(self, i: int) -> str:
        """The file and row of pair i."""
        table, row, _ = self._find(i)
        return table.place(row)

    def __getitem__(self, i: int) -> RawPair:
        table, row, ours = self._find(i)
        place = table.place(row)
        if ours:
            values = table.row(row, OWN)
            sides = {side: _bytes(table, place, side, values.get(side)) for side in ("winner", "loser")}
            swapped = tie = False
        else:
            values = table.row(row, (*PICKAPIC, *JUDGED))
            swapped, tie = values["label_0"] == 0, values["label_0"] == 0.5
            names = ("jpg_1", "jpg_0") if swapped else ("jpg_0", "jpg_1")
            sides = {side: values[name] for side, name in zip(("winner", "loser"), names, strict=True)}
        caption = text(place, values.get("caption"))
        winner, loser = (decode(place, side, data) for side, data in sides.items())
        return RawPair(caption, winner, loser, swapped, tie)

    def captions(self) -> Iterator[str]:
        """Every pair's caption; empty where there is none."""
        wanted = iter(self._rows.tolist())
        following = next(wanted, -1)
        for table, start in zip(self._tables, self._starts, strict=False):
            for row, values in enumerate(table.scan(("caption",)), start):
                if row == following:
                    caption = values.get("caption")
                    yield caption if isinstance(caption, str) else ""
                    following = next(wanted, -1)

    def _both(self) -> Iterator[tuple[Table, bool]]:
        return zip(self._tables, self._ours, strict=True)

    def _find(self, i: int) -> tuple[Table, int, bool]:
        if not 0 <= i < len(self):
            raise IndexError(i)
        row = int(self._rows[i])
        n = bisect_right(self._starts, row) - 1
        return self._tables[n], row - self._starts[n], self._ours[n]

    def _pairs_of(self, n: int, ties: bool) -> np.ndarray:
        """The rows of file n that are pairs, int64, counted over all files."""
        table, start = self._tables[n], self._starts[n]
        if self._ours[n]:
            return np.arange(start, start + len(table), dtype=np.int64)
        keep = np.zeros(len(table), dtype=bool)
        for row, values in enumerate(table.scan(JUDGED)):
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
        """Keeps, of the rows with one caption, the first in a random order that is the same at every opening."""
        names = (hashlib.blake2b(caption.encode(), digest_size=8).digest() for caption in self.captions())
        captions = np.frombuffer(b"".join(names), dtype=np.int64)
        order = np.array(Noise(0, "pairs").permutation(len(captions), "nodup"), dtype=np.int64)
        _, first = np.unique(captions[order], return_index=True)
        kept = np.sort(order[first])
        self.counts["duplicates"] = len(captions) - len(kept)
        self._rows = self._rows[kept]


def _is_ours(table: Table) -> bool:
    """Whether the table has our own columns, and not Pick-a-Pic's. Errors: UsageError for neither."""
    if table.columns.issuperset(OWN):
        return True
    if table.columns.issuperset(PICKAPIC):
        return False
    nearest = min((OWN, PICKAPIC), key=lambda names: len(set(names) - table.columns))
    lacks = [name for name in nearest if name not in table.columns]
    raise UsageError(
        f"{table.path} does not hold pairs",
        f"it has no column {', '.join(lacks)} (it has {', '.join(sorted(table.columns)) or 'none'})",
        f"give it the columns {', '.join(OWN)}, see docs/pairs.md",
    )


def _bytes(table: Table, place: str, side: str, value: object) -> object:
    """A picture's bytes, from the row itself or from the file that it names. Errors: BadRow."""
    if not isinstance(value, str):
        return value
    try:
        return _inside(table, place, value).read_bytes()
    except OSError as error:
        raise BadRow(place, f"the {side} {value!r} cannot be read ({error.strerror})") from error


def _inside(table: Table, place: str, name: str) -> Path:
    """The file of that name. Errors: CorruptError where it lies outside the table's folder, also through a link."""
    folder = table.path.parent.resolve()
    path = None if "\0" in name else (folder / name).resolve()
    if path is None or not path.is_relative_to(folder):
        raise CorruptError(
            f"the pairs in {table.path} are refused",
            f"{place} names {name!r}, which is outside the folder of the file",
            "copy the pictures beside the file and name them relative to it",
        )
    return path


def _pictures(table: Table, hash_of: Hash) -> str:
    """One hash of all pictures that are files of their own, in order. Errors: CorruptError for one outside."""
    sides = [side for side in ("winner", "loser") if side in table.texts]
    if not sides:
        return ""  # pictures in the rows themselves, which the table's own hash covers
    return bytes_sha256(
        _file_hash(_inside(table, table.place(row), value), hash_of).encode()
        for row, values in enumerate(table.scan(sides))
        for value in values.values()
        if isinstance(value, str)
    )


def _file_hash(path: Path, hash_of: Hash) -> str:
    try:
        return hash_of(path)
    except OSError:
        return "missing"

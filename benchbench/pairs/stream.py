"""The endless stream of pairs that an offline method trains on: shuffled, cropped, flipped, some captions dropped.

Draw d depends on the set, the seed and d alone, so one integer is the whole position in the stream.
Pictures are prepared as in the code of Diffusion-DPO (arXiv:2311.12908): resize the short side to the resolution
(bilinear), crop the centre, flip each of the two with probability 1/2, scale to [-1, 1]. The code of MaPO
(arXiv:2406.06424) flips both or none, and first resizes the second picture to the size of the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from math import prod
from typing import TYPE_CHECKING, Literal, NamedTuple

from benchbench.errors import CorruptError, RunError
from benchbench.noise import Noise, Word
from benchbench.pairs.dataset import BadRow, PairSet, RawPair
from benchbench.runtime.resize import resize

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

MAX_BAD_ROWS = 64
"""The stream gives up on a draw after this many bad rows."""
MAX_RESIZED = 2**26
"""Pixels of a picture after the resize of its short side, before the crop."""
DECODING_THREADS = 4
"""Threads that decode pictures ahead of time; decoding releases the interpreter lock."""


class PairItem(NamedTuple):
    """One draw: its number, its row, the caption (empty if dropped), and pictures as float32 [3, R, R] in [-1, 1]."""

    draw: int
    row: int
    caption: str
    winner: torch.Tensor
    loser: torch.Tensor
    tie: bool


class SkippedRow(NamedTuple):
    """A row that was drawn but could not be used: the draw, the row, the file and row in words, and the reason."""

    draw: int
    row: int
    place: str
    why: str


class PairStream:
    """Numbered draws 0, 1, 2, ... without end; each epoch of len(pairs) draws is a permutation of the rows.

    ``flip``: True flips each picture on its own, "joint" flips both or none, False flips none. ``same_size`` first
    resizes the second picture in the file to the size of the first. Where ``pairs.skip_bad`` is set, a row that cannot
    be used is replaced by a random one; ``bad`` lists the rows skipped so far.
    """

    def __init__(
        self,
        pairs: PairSet,
        noise: Noise,
        resolution: int,
        *,
        caption_dropout: float = 0.0,
        flip: bool | Literal["joint"] = True,
        same_size: bool = False,
    ) -> None:
        self.pairs, self.noise, self.resolution = pairs, noise, resolution
        self.caption_dropout, self.flip, self.same_size = caption_dropout, flip, same_size
        self.bad: list[SkippedRow] = []
        self._orders: dict[int, torch.Tensor] = {}
        self._ahead: dict[int, Future[tuple[PairItem, list[SkippedRow]]]] = {}
        self._pool = ThreadPoolExecutor(DECODING_THREADS, thread_name_prefix="pairs")

    def batch(self, start: int, stop: int) -> list[PairItem]:
        """Returns draws start .. stop - 1, and begins to decode as many draws after them in the background.

        Errors: CorruptError (a bad row, unless the set skips them), RunError (too many bad rows one after another).
        """
        draws = range(start, stop)
        self._ahead = {d: self._ahead.get(d) or self._begin(d) for d in draws}
        futures, after = self._ahead, range(stop, 2 * stop - start)
        self._ahead = {d: self._begin(d) for d in after}
        items = []
        for d in draws:
            item, skipped = futures[d].result()
            items.append(item)
            self.bad += skipped
        return items

    def row(self, draw: int) -> int:
        """Returns the row of a draw, before any replacement of a bad row."""
        epoch, place = divmod(draw, len(self.pairs))
        return int(self._order(epoch)[place])

    def close(self) -> None:
        """Ends the threads and drops what they were decoding."""
        self._pool.shutdown(cancel_futures=True)

    def _begin(self, draw: int) -> Future[tuple[PairItem, list[SkippedRow]]]:
        return self._pool.submit(self._item, draw, self.row(draw))

    def _order(self, epoch: int) -> torch.Tensor:
        """Returns the permutation of an epoch, int64 [len(pairs)]; those of neighbouring epochs are kept."""
        import torch

        if epoch not in self._orders:
            order = torch.randperm(len(self.pairs), generator=self.noise.generator("pairs", "order", epoch))
            self._orders = {**{e: o for e, o in self._orders.items() if abs(e - epoch) < 2}, epoch: order}
        return self._orders[epoch]

    def _item(self, draw: int, row: int) -> tuple[PairItem, list[SkippedRow]]:
        skipped: list[SkippedRow] = []
        for attempt in range(1, MAX_BAD_ROWS + 1):
            try:
                raw = self.pairs[row]
                self._check_size(row, raw)
            except BadRow as bad:
                skipped.append(SkippedRow(draw, row, bad.row, bad.why))
                if not self.pairs.skip_bad:
                    raise CorruptError(
                        f"a row of the pairs {self.pairs.name} cannot be used",
                        str(bad),
                        self._remedy(),
                    ) from bad
                row = self.noise.integer(len(self.pairs), "pairs", "instead", draw, attempt)
            else:
                return self._prepare(draw, row, raw), skipped
        raise RunError(
            f"{MAX_BAD_ROWS} rows drawn one after another from the pairs {self.pairs.name} cannot be used",
            f"the last one is {skipped[-1].place}: {skipped[-1].why}",
            "repair the pairs: bench pairs check lists every row that cannot be used",
        )

    def _remedy(self) -> str:
        """Returns the remedy for a bad row where none is skipped; skipping helps only where others can be used."""
        repair = "fix or remove it (bench pairs check lists every such row)"
        return repair if unusable(self.pairs) else f"{repair}, or use --bad-rows skip"

    def _check_size(self, row: int, raw: RawPair) -> None:
        """Raises BadRow for a picture so long and narrow that its resize would need gigabytes of memory."""
        for side, image in (("winner", raw.winner), ("loser", raw.loser)):
            if prod(resized_size(image.size, self.resolution)) > MAX_RESIZED:
                width, height = image.size
                raise BadRow(
                    f"{self.pairs.name}, pair {row}", f"the {side} of {width} x {height} pixels is too long and narrow"
                )

    def _prepare(self, draw: int, row: int, raw: RawPair) -> PairItem:
        winner, loser = raw.winner, raw.loser
        if self.same_size:
            if raw.swapped:
                winner = resize(winner, loser.size)
            else:
                loser = resize(loser, winner.size)
        sides = ("both", "both") if self.flip == "joint" else ("winner", "loser")
        flips = [bool(self.flip) and self._chance(0.5, "flip", side, draw) for side in sides]
        caption = "" if self._chance(self.caption_dropout, "drop caption", draw) else raw.caption
        tensors = [to_tensor(image, self.resolution, flip) for image, flip in zip((winner, loser), flips, strict=True)]
        return PairItem(draw, row, caption, tensors[0], tensors[1], raw.tie)

    def _chance(self, probability: float, *name: Word) -> bool:
        return self.noise.integer(2**53, "pairs", *name) < probability * 2**53


def unusable(pairs: PairSet) -> list[BadRow]:
    """Returns the errors of rows spread over the whole set; nothing where one of them can be used."""
    errors, tried = list[BadRow](), min(len(pairs), MAX_BAD_ROWS)
    for i in range(tried):
        try:
            pairs[i * len(pairs) // tried]
        except BadRow as bad:
            errors.append(bad)
        else:
            return []
    return errors


def to_tensor(image: Image, resolution: int, flipped: bool = False) -> torch.Tensor:
    """Returns float32 [3, R, R] in [-1, 1]: the image with its short side resized to R, cropped to the centre."""
    import numpy as np
    import torch
    from PIL import Image as PIL

    size = resized_size(image.size, resolution)
    if size != image.size:
        image = resize(image, size, PIL.Resampling.BILINEAR)
    left, top = (round((side - resolution) / 2) for side in size)
    image = image.crop((left, top, left + resolution, top + resolution))
    if flipped:
        image = image.transpose(PIL.Transpose.FLIP_LEFT_RIGHT)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div_(127.5).sub_(1).contiguous()


def resized_size(size: Sequence[int], short: int) -> tuple[int, int]:
    """Returns (width, height) with the short side as given and the long side in proportion, rounded down."""
    width, height = size
    return (short, short * height // width) if width <= height else (short * width // height, short)

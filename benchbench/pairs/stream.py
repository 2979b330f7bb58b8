"""The endless stream of pairs that an offline method trains on: shuffled, cropped, flipped, some captions dropped.

Draw d of the stream is a function of (seed, d) and the set alone, so that the position in it is one integer. The
pictures go through what Diffusion-DPO's code does (arXiv:2311.12908): short side to the resolution (bilinear), centre
crop, a flip with probability 1/2 for each of the two, values to [-1, 1]; MaPO's code (arXiv:2406.06424) flips both or
none and first gives the second picture the first one's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal, NamedTuple

from benchbench.errors import CorruptError, RunError
from benchbench.noise import Noise, Word
from benchbench.pairs.dataset import BadRow, PairSet, RawPair

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

TRIES = 64
"""Rows that may be bad one after another in place of one draw, before the stream gives up."""
THREADS = 4
"""That decode ahead; decoding releases the interpreter."""


class PairItem(NamedTuple):
    """One draw: its number, the row it is, the caption (empty where dropped), pictures float32 [3, R, R] in [-1, 1]."""

    draw: int
    row: int
    caption: str
    winner: torch.Tensor
    loser: torch.Tensor
    tie: bool


class SkippedRow(NamedTuple):
    """A row that was drawn and could not be used: the draw, the row's number, its place in its file, and why."""

    draw: int
    row: int
    place: str
    why: str


class PairStream:
    """Draws 0, 1, 2, ...; each epoch of len(pairs) draws is a permutation of the rows.

    ``flip``: True for each picture on its own, "joint" for both or none, False never. ``same_size``: the second picture
    of the file is first stretched to the first one's size. In place of a row that cannot be used, another is drawn
    at random, unless the set says to stop. ``bad`` has the rows that were skipped so far.
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
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="pairs")

    def batch(self, start: int, stop: int) -> list[PairItem]:
        """Draws start .. stop - 1; as many after them are then decoded in the background.

        Errors: CorruptError (a bad row, where the set says to stop), RunError (nothing but bad rows).
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
        """The row of a draw, if it can be used."""
        epoch, place = divmod(draw, len(self.pairs))
        return int(self._order(epoch)[place])

    def close(self) -> None:
        """Ends the threads; what they were decoding is dropped."""
        self._pool.shutdown(cancel_futures=True)

    def _begin(self, draw: int) -> Future[tuple[PairItem, list[SkippedRow]]]:
        return self._pool.submit(self._item, draw, self.row(draw))

    def _order(self, epoch: int) -> torch.Tensor:
        """int64 [len(pairs)]; the last few epochs' are kept."""
        import torch

        if epoch not in self._orders:
            made = torch.randperm(len(self.pairs), generator=self.noise.generator("pairs", "order", epoch))
            self._orders = {**{e: o for e, o in self._orders.items() if abs(e - epoch) < 2}, epoch: made}
        return self._orders[epoch]

    def _item(self, draw: int, row: int) -> tuple[PairItem, list[SkippedRow]]:
        skipped: list[SkippedRow] = []
        for attempt in range(1, TRIES + 1):
            try:
                raw = self.pairs[row]
            except BadRow as bad:
                skipped.append(SkippedRow(draw, row, bad.row, bad.why))
                if not self.pairs.skip_bad:
                    raise CorruptError(
                        f"a row of the pairs {self.pairs.name} cannot be used",
                        str(bad),
                        "mend or remove it (bench pairs check names every such row), or go on with --bad-rows skip",
                    ) from bad
                row = self.noise.integer(len(self.pairs), "pairs", "instead", draw, attempt)
            else:
                return self._prepared(draw, row, raw), skipped
        raise RunError(
            f"{TRIES} rows of the pairs {self.pairs.name} in a row cannot be used",
            f"the last: {skipped[-1].place}: {skipped[-1].why}",
            "bench pairs check names every such row",
        )

    def _prepared(self, draw: int, row: int, raw: RawPair) -> PairItem:
        winner, loser = raw.winner, raw.loser
        if self.same_size:
            if raw.swapped:
                winner = winner.resize(loser.size)
            else:
                loser = loser.resize(winner.size)
        sides = ("both", "both") if self.flip == "joint" else ("winner", "loser")
        flips = [bool(self.flip) and self._chance(0.5, "flip", side, draw) for side in sides]
        caption = "" if self._chance(self.caption_dropout, "drop caption", draw) else raw.caption
        pictures = [picture(i, self.resolution, f) for i, f in zip((winner, loser), flips, strict=True)]
        return PairItem(draw, row, caption, pictures[0], pictures[1], raw.tie)

    def _chance(self, probability: float, *what: Word) -> bool:
        return self.noise.integer(2**53, "pairs", *what) < probability * 2**53


def picture(image: Image, resolution: int, flipped: bool = False) -> torch.Tensor:
    """float32 [3, R, R] in [-1, 1]: the short side resized to R, the centre cut out."""
    import numpy as np
    import torch
    from PIL import Image as PIL

    size = resized(image.size, resolution)
    if size != image.size:
        image = image.resize(size, PIL.Resampling.BILINEAR)
    left, top = (round((side - resolution) / 2) for side in size)
    image = image.crop((left, top, left + resolution, top + resolution))
    if flipped:
        image = image.transpose(PIL.Transpose.FLIP_LEFT_RIGHT)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div_(127.5).sub_(1).contiguous()


def resized(size: Sequence[int], short: int) -> tuple[int, int]:
    """(width, height) with the short side as given and the long side in proportion, rounded down."""
    width, height = size
    return (short, short * height // width) if width <= height else (short * width // height, short)

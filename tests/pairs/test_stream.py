"""The stream of pairs: a function of seed and draw alone, the released transforms, and what bad rows do to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchbench.errors import CorruptError, RunError
from benchbench.noise import Noise
from benchbench.pairs.dataset import BadRow, RawPair
from benchbench.pairs.stream import MAX_BAD_ROWS, PairItem, PairStream, resized_size, to_tensor
from tests.pairs.pair_folders import opened, rows, write_parquet


class Few:
    """Holds pairs in memory: a picture whose left half is dark, and its negative; some rows are bad."""

    name, hash = "few", "0" * 64

    def __init__(self, count: int, bad: frozenset[int] = frozenset(), skip_bad: bool = True) -> None:
        self.count, self.bad, self.skip_bad = count, bad, skip_bad
        pixels = np.zeros((4, 4, 3), np.uint8)
        pixels[:, 2:] = 255
        self.winner, self.loser = Image.fromarray(pixels), Image.fromarray(255 - pixels)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> RawPair:
        if i in self.bad:
            raise BadRow(f"few, row {i}", "it is bad")
        return RawPair(f"caption {i}", self.winner, self.loser)

    def captions(self) -> Iterator[str]:
        return (f"caption {i}" for i in range(self.count))


def stream(pairs: Few, seed: int = 0, **options: object) -> PairStream:
    return PairStream(pairs, Noise(seed, "train"), 4, **options)  # type: ignore[arg-type]


def same(a: list[PairItem], b: list[PairItem]) -> bool:
    return len(a) == len(b) and all(
        x[:3] == y[:3] and torch.equal(x.winner, y.winner) and torch.equal(x.loser, y.loser)
        for x, y in zip(a, b, strict=True)
    )


def test_a_draw_is_a_function_of_seed_and_number(tmp_path: Path) -> None:
    """40 draws of real files (3.6 epochs of 11 rows) at once, by threes, one by one from the middle, and backwards:
    the same; another seed gives others.
    """
    pairs = opened(write_parquet(tmp_path / "a.parquet", rows(11)))

    def fresh(seed: int = 0) -> PairStream:
        return PairStream(pairs, Noise(seed, "train"), 4, caption_dropout=0.3)

    whole = fresh().batch(0, 40)
    assert [item.draw for item in whole] == list(range(40))
    by_three = fresh()
    assert same(whole[:39], [item for n in range(0, 39, 3) for item in by_three.batch(n, n + 3)])
    resumed = fresh()
    assert same(whole[17:], [item for n in range(17, 40) for item in resumed.batch(n, n + 1)])
    backwards = fresh()
    assert same(whole[::-1], [item for n in range(39, -1, -1) for item in backwards.batch(n, n + 1)])
    assert [item.row for item in fresh(1).batch(0, 40)] != [item.row for item in whole]


def test_an_epoch_is_a_permutation_and_no_two_are_alike() -> None:
    items = stream(Few(20)).batch(0, 60)
    epochs = [[item.row for item in items[n : n + 20]] for n in (0, 20, 40)]
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3 and epochs[0] != list(range(20))


def rates(items: list[PairItem]) -> tuple[float, float, float, float]:
    """Shares of winners flipped, losers flipped, both flipped, captions dropped. A flipped winner is dark at right."""
    winner = np.array([float(item.winner[0, 0, 0]) > 0 for item in items])
    loser = np.array([float(item.loser[0, 0, 0]) < 0 for item in items])
    return winner.mean(), loser.mean(), (winner & loser).mean(), np.mean([item.caption == "" for item in items])


def test_rates_of_flips_and_dropped_captions() -> None:
    """4000 draws; a share near p has the standard error sqrt(p (1-p) / 4000): .0079 at 1/2, .0068 at 1/4, .0063 at .2.
    Independent flips meet in 1/4 of the pairs, joint ones in 1/2; within four standard errors.
    """
    items = stream(Few(50), caption_dropout=0.2).batch(0, 4000)
    winner, loser, both, dropped = rates(items)
    assert abs(winner - 0.5) < 0.032 and abs(loser - 0.5) < 0.032
    assert abs(both - 0.25) < 0.028 and abs(dropped - 0.2) < 0.026
    flipped = np.array([float(item.winner[0, 0, 0]) > 0 for item in items])
    empty = np.array([item.caption == "" for item in items])
    assert abs((flipped & empty).mean() - 0.1) < 4 * (0.1 * 0.9 / 4000) ** 0.5  # and neither of the captions
    winner, loser, both, dropped = rates(stream(Few(50), flip="joint").batch(0, 4000))
    assert winner == loser == both and abs(both - 0.5) < 0.032 and dropped == 0
    assert rates(stream(Few(50), flip=False).batch(0, 100)) == (0, 0, 0, 0)


def test_resize_and_crop_are_torchvisions() -> None:
    """By hand: 9 x 6 to short side 4: 6 x 4, the middle 4 columns. Values by torchvision's own PIL path, exactly."""
    assert resized_size((9, 6), 4) == (6, 4) and resized_size((6, 9), 4) == (4, 6) and resized_size((7, 5), 4) == (5, 4)
    transforms = pytest.importorskip("torchvision.transforms")
    rng = np.random.default_rng(0)
    for size in ((9, 6), (6, 9), (7, 5), (16, 16), (3, 2), (21, 11), (4, 4)):
        image = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
        theirs = transforms.Compose(
            [
                transforms.Resize(4, interpolation=transforms.InterpolationMode.BILINEAR),
                transforms.CenterCrop(4),
                transforms.ToTensor(),
                transforms.Normalize([0.5], [0.5]),
            ]
        )(image)
        ours = to_tensor(image, 4)
        assert ours.shape == (3, 4, 4) and ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
        assert torch.equal(to_tensor(image, 4, flipped=True), ours.flip(2))


@pytest.mark.parametrize("swapped", [False, True])
def test_the_second_picture_of_the_file_takes_the_first_ones_size(swapped: bool) -> None:
    """The first is a square of stripes, the second twice as wide as high: stretched, its outer columns come into the
    square; cut out of the middle, they do not. ``swapped``: the winner is the second of the file.
    """
    wide = np.full((4, 8, 3), 255, np.uint8)
    wide[:, :2] = wide[:, -2:] = 0
    square = Image.new("RGB", (4, 4), (9, 9, 9))
    raw = (Image.fromarray(wide), square) if swapped else (square, Image.fromarray(wide))
    pairs = Few(1)
    pairs.__class__ = type("One", (Few,), {"__getitem__": lambda self, i: RawPair("x", *raw, swapped)})
    for same_size, dark in ((True, True), (False, False)):
        item = stream(pairs, same_size=same_size, flip=False).batch(0, 1)[0]
        second = item.winner if swapped else item.loser
        assert (float(second[0, 0, 0]) < 0) is dark
        assert float((item.loser if swapped else item.winner).std()) < 1e-6


def test_bad_rows_are_replaced_and_told_once_they_were_drawn() -> None:
    """10 rows, 4 bad, 30 draws: 12 meetings with a bad row, plus those of the replacements; none is returned. Draws
    that are only decoded ahead tell nothing. The same whatever the batch.
    """
    bad = frozenset({1, 4, 5, 8})
    one = stream(Few(10, bad))
    items = one.batch(0, 30)
    assert not {item.row for item in items} & bad and {item.row for item in items} <= set(range(10))
    assert len(one.bad) >= 12 and {entry.row for entry in one.bad} == bad
    assert one.bad[0].place == f"few, row {one.bad[0].row}" and one.bad[0].why == "it is bad"
    two = stream(Few(10, bad))
    again = [item for n in range(0, 30, 5) for item in two.batch(n, n + 5)]
    assert same(items, again) and two.bad == one.bad
    assert max(entry.draw for entry in two.bad) < 30
    good = [item for item in items if item.draw not in {entry.draw for entry in one.bad}]
    without = {item.draw: item for item in stream(Few(10)).batch(0, 30)}
    assert same(good, [without[item.draw] for item in good])


def test_a_bad_row_stops_where_it_should() -> None:
    """A bad row fails at the batch that holds it, not at the one that decodes it ahead."""
    probe = stream(Few(10))
    third = probe.row(2)
    strict = stream(Few(10, frozenset({third}), skip_bad=False))
    strict.batch(0, 2)
    with pytest.raises(CorruptError, match="cannot be used") as caught:
        strict.batch(2, 3)
    assert f"row {third}: it is bad" in caught.value.cause


def test_nothing_but_bad_rows_ends_with_an_error() -> None:
    with pytest.raises(RunError, match=f"{MAX_BAD_ROWS} rows") as caught:
        stream(Few(5, frozenset(range(5)))).batch(0, 2)
    assert "it is bad" in caught.value.cause


def test_a_picture_too_long_to_be_resized_is_a_bad_row() -> None:
    """At 8 pixels the short side of 2,000,000 x 1 becomes 8, and the long one 16,000,000: 128 million pixels."""
    rod, square = Image.new("RGB", (2_000_000, 1)), Image.new("RGB", (4, 4))
    pairs = Few(4)
    pairs.__class__ = type("Rods", (Few,), {"__getitem__": lambda self, i: RawPair("x", square, square if i else rod)})
    one = PairStream(pairs, Noise(0, "pairs"), 8)
    items = one.batch(0, 8)
    assert len(items) == 8 and 0 not in {item.row for item in items}
    assert {(entry.row, entry.place) for entry in one.bad} == {(0, "few, pair 0")}
    assert "loser of 2000000 x 1 pixels" in one.bad[0].why

"""What exists is never made again; what is missing is made; nothing is lost by an interruption."""

import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchbench.errors import RunError
from benchbench.evaluate.eval_cost import EvalCost
from benchbench.evaluate.generate import Generation, generate
from benchbench.noise import Noise
from benchbench.store.images import ImageStore
from tests.evaluate.fakes import PROMPTS, Generator, picture
from tests.forked import Forked


def run(made: Generator, store: Path, **options: Any) -> list[Generation]:
    settings: dict[str, Any] = {"prompts": PROMPTS, "images_per_prompt": 2, "eval_seeds": [0], "batch_size": 4}
    settings |= {"log": lambda _: None} | options
    return generate(made.evaluated_model(), sampler={"steps": 2}, dtype="fp32", store=store, made_on={}, **settings)


def times(store: Path) -> dict[str, int]:
    """Returns the time at which each image was written."""
    return {path.name: path.stat().st_mtime_ns for path in store.rglob("*.webp")}


def test_every_image_is_made_once(tmp_path: Path) -> None:
    made = Generator()
    first = run(made, tmp_path)
    written = times(tmp_path)
    assert (made.opened, [len(c) for c in made.chunks]) == (1, [4, 2])
    again = run(made, tmp_path)
    assert (made.opened, made.made) == (1, 6) and again[0].entries == first[0].entries
    run(made, tmp_path, images_per_prompt=3)
    assert len(times(tmp_path)) == 9 and written.items() <= times(tmp_path).items()
    run(made, tmp_path, eval_seeds=[0, 1])
    assert made.opened == 3 and len(list(tmp_path.rglob("*.webp"))) == 9 + 6


def test_a_batch_that_lacks_an_image_is_drawn_whole_and_no_other(tmp_path: Path) -> None:
    """3 prompts, twice: places 0..5 are the first images of all prompts, then the second ones; batches 0-3 and 4-5."""
    made = Generator()
    first = run(made, tmp_path)[0]
    gone = next(item for item in first.entries if (item.index, item.number) == (1, 1))  # place 4
    first.images.path(gone).unlink()
    left, cost = times(tmp_path), EvalCost()
    again = run(made, tmp_path, cost=cost)[0]
    assert [(item.index, item.number) for item in made.chunks[-1]] == [(1, 1), (2, 1)] and len(made.chunks) == 3
    assert again.entries == first.entries and left.items() <= times(tmp_path).items()
    assert (cost.images, cost.unet_evals) == (1, 4)  # one stored; two drawn, of two steps each


@pytest.fixture
def two_rows_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchbench.runtime import cpu_threads

    monkeypatch.setattr(cpu_threads, "MIN_ROWS", 2)


@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_made_again_is_the_same_to_the_bit(tmp_path: Path, two_rows_a_thread: None, threads: int) -> None:
    """The real model: two of twenty images are missing, in the first and the last of batches of eight, which on two
    threads are cut in two; drawn without their company they may round otherwise.
    """
    from benchbench import prompts
    from benchbench.api import PromptSet
    from benchbench.evaluate.lazy_model import LazyModel

    sampler = {"steps": 4, "eta": 1.0, "guidance_scale": 5.0}
    model = LazyModel("shapes", sampler, "cpu", "fp32", lambda _: None)
    few = PromptSet("few", prompts.load("shapes-simple").prompts[:20], "made here", "none")
    settings: dict[str, Any] = {"sampler": sampler, "dtype": "fp32", "images_per_prompt": 1, "eval_seeds": [0]}
    settings |= {"store": tmp_path, "batch_size": 8, "made_on": {}, "log": lambda _: None}
    before, cost = torch.get_num_threads(), EvalCost()
    torch.set_num_threads(threads)
    try:
        first = generate(model.with_adapter("base", None), few, **settings)[0]
        files = {path: path.read_bytes() for path in tmp_path.rglob("*.webp")}
        for place in (1, 19):
            first.images.path(list(first.entries)[place]).unlink()
        again = generate(model.with_adapter("base", None), few, cost=cost, **settings)[0]
    finally:
        torch.set_num_threads(before)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.webp")} == files and again.entries == first.entries
    assert (cost.images, cost.unet_evals) == (2, (8 + 4) * 4)


def test_images_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    one, five = run(Generator(), tmp_path / "1", batch_size=1), run(Generator(), tmp_path / "5", batch_size=5)
    assert one[0].entries == five[0].entries
    for item in one[0].entries:
        assert (np.asarray(one[0].images.read(item)) == picture(item, Noise(0, "eval"))).all()


def test_parts_on_two_threads_are_stored_once(tmp_path: Path, two_rows_a_thread: None) -> None:
    """Places 0..5 in batches of 4 and 2 are parts of 2, 2 and 2; for place 2 the first batch is drawn, which is two."""
    one, two, cost = run(Generator(), tmp_path / "1")[0], Generator(threads=2), EvalCost()
    store = tmp_path / "2"
    first = run(two, store)[0]
    assert first.entries == one.entries and list(map(len, two.chunks)) == [2, 2, 2]
    first.images.path(next(item for item in first.entries if (item.index, item.number) == (2, 0))).unlink()
    left = times(store)
    assert run(two, store, cost=cost)[0].entries == one.entries and left.items() <= times(store).items()
    assert list(map(len, two.chunks)) == [2] * 5 and (cost.images, cost.unet_evals) == (1, 4 * 2)


def test_a_damaged_image_is_made_again_and_named(tmp_path: Path) -> None:
    made, said = Generator(), list[str]()
    first = run(made, tmp_path)[0]
    path = first.images.path(next(iter(first.entries)))
    path.write_bytes(path.read_bytes()[:50])
    left = {name: time for name, time in times(tmp_path).items() if name != path.name}
    (first.images.folder / ".00000-00.webp.1-1.tmp").write_bytes(b"left by a kill")
    again = run(made, tmp_path, log=said.append)[0]
    assert left.items() <= times(tmp_path).items() and again.entries == first.entries and str(path) in said[0]
    assert not list(again.images.folder.glob(".*.tmp"))


def test_out_of_memory_halves_the_chunk(tmp_path: Path) -> None:
    class Small(Generator):
        def draw(self, samples: Any, noise: Noise) -> np.ndarray:
            if len(samples) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().draw(samples, noise)

    made, said = Small(), list[str]()
    run(made, tmp_path, batch_size=6, log=said.append)
    assert [len(c) for c in made.chunks] == [1] * 6 or max(len(c) for c in made.chunks) <= 2
    assert made.made == 6 and said[0] == "out of memory making images: going on with one image at a time"


def test_no_memory_for_one_image_is_an_error(tmp_path: Path) -> None:
    class None_(Generator):
        def draw(self, samples: Any, noise: Noise) -> np.ndarray:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(RunError, match="out of memory making images, one image at a time"):
        run(None_(), tmp_path)


def test_black_images_are_counted_and_said(tmp_path: Path) -> None:
    class Black(Generator):
        def draw(self, samples: Any, noise: Noise) -> np.ndarray:
            return super().draw(samples, noise) * np.array([s.index > 0 for s in samples])[:, None, None, None]

    for _ in range(2):  # also where the images are there already
        said: list[str] = []
        assert run(Black(), tmp_path, log=said.append)[0].blank == 2
        assert "2 of 6 images of base are black" in said[-1] and "'a cat'" in said[-1]


@pytest.mark.parametrize(("threads", "batch_size"), [(1, 1), (2, 4)])
def test_a_full_disk_ends_the_run_and_keeps_what_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_rows_a_thread: None, threads: int, batch_size: int
) -> None:
    write, made = ImageStore.write, Generator(threads)

    def full(self: ImageStore, item: Any, pixels: np.ndarray) -> None:
        if item.index == 2:
            raise RunError("the disk is full", "0 MB are free", "free some space")
        write(self, item, pixels)

    monkeypatch.setattr(ImageStore, "write", full)
    with pytest.raises(RunError, match="the disk is full"):
        run(made, tmp_path, batch_size=batch_size)
    monkeypatch.undo()
    kept = times(tmp_path)
    assert 2 <= len(kept) <= 1 + threads  # of the prompts before the third; another thread may have gone on
    run(made, tmp_path)
    assert len(times(tmp_path)) == 6 and kept.items() <= times(tmp_path).items()


def test_killed_for_real_it_goes_on_where_it_was(tmp_path: Path) -> None:
    script = """
        import sys, time
        from pathlib import Path
        from tests.evaluate.fakes import Generator
        from tests.evaluate.test_generate import run

        class Slow(Generator):
            def draw(self, samples, noise):
                time.sleep(0.2)
                return super().draw(samples, noise)

        run(Slow(), Path(sys.argv[1]), images_per_prompt=20, batch_size=2)
    """
    process = Forked(["-c", textwrap.dedent(script), str(tmp_path)], tmp_path / "killed.log")
    deadline = time.monotonic() + 60
    while len(list(tmp_path.rglob("*.webp"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    there = len(list(tmp_path.rglob("*.webp")))
    assert 4 <= there < 60
    made = Generator()
    resumed = run(made, tmp_path, images_per_prompt=20)
    assert made.made == 60 - there
    assert resumed[0].entries == run(Generator(), tmp_path / "whole", images_per_prompt=20)[0].entries

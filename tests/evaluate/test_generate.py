"""What exists is never made again; what is missing is made; nothing is lost by an interruption."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchbench.errors import RunError
from benchbench.evaluate.generate import Generation, generate
from benchbench.noise import Noise
from benchbench.store.images import Images
from tests.evaluate.fakes import PROMPTS, Generator, picture


def run(made: Generator, store: Path, **options: Any) -> list[Generation]:
    settings = {"images_per_prompt": 2, "eval_seeds": [0], "batch_size": 4, "say": lambda _: None} | options
    return generate(made.subject(), PROMPTS, sampler={"steps": 2}, dtype="fp32", store=store, made_on={}, **settings)


def test_every_image_is_made_once(tmp_path: Path) -> None:
    made = Generator()
    first = run(made, tmp_path)
    assert (made.opened, [len(c) for c in made.chunks]) == (1, [4, 2])
    again = run(made, tmp_path)
    assert (made.opened, made.made) == (1, 6) and again[0].entries == first[0].entries
    run(made, tmp_path, images_per_prompt=3)
    assert made.made == 9 and {item.number for item in made.chunks[-1]} == {2}
    run(made, tmp_path, eval_seeds=[0, 1])
    assert made.made == 15 and made.opened == 3


def test_images_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    one, five = run(Generator(), tmp_path / "1", batch_size=1), run(Generator(), tmp_path / "5", batch_size=5)
    assert one[0].entries == five[0].entries
    for item in one[0].entries:
        assert (np.asarray(one[0].images.read(item)) == picture(item, Noise(0, "eval"))).all()


def test_a_damaged_image_is_made_again_and_named(tmp_path: Path) -> None:
    made, said = Generator(), list[str]()
    first = run(made, tmp_path)[0]
    path = first.images.path(next(iter(first.entries)))
    path.write_bytes(path.read_bytes()[:50])
    (first.images.folder / ".00000-00.webp.1-1.tmp").write_bytes(b"left by a kill")
    again = run(made, tmp_path, say=said.append)[0]
    assert made.made == 7 and again.entries == first.entries and str(path) in said[0]
    assert not list(again.images.folder.glob(".*.tmp"))


def test_out_of_memory_halves_the_chunk(tmp_path: Path) -> None:
    class Small(Generator):
        def draw(self, samples: Any, noise: Noise) -> np.ndarray:
            if len(samples) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().draw(samples, noise)

    made, said = Small(), list[str]()
    run(made, tmp_path, batch_size=6, say=said.append)
    assert [len(c) for c in made.chunks] == [1] * 6 or max(len(c) for c in made.chunks) <= 2
    assert made.made == 6 and "3 images at a time" in said[0]


def test_no_memory_for_one_image_is_an_error(tmp_path: Path) -> None:
    class None_(Generator):
        def draw(self, samples: Any, noise: Noise) -> np.ndarray:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(RunError, match="too little memory"):
        run(None_(), tmp_path)


def test_black_images_are_counted_and_said(tmp_path: Path) -> None:
    class Black(Generator):
        def draw(self, samples: Any, noise: Noise) -> np.ndarray:
            return super().draw(samples, noise) * np.array([s.index > 0 for s in samples])[:, None, None, None]

    for _ in range(2):  # also where the images are there already
        said: list[str] = []
        assert run(Black(), tmp_path, say=said.append)[0].blank == 2
        assert "2 of 6 images of base are black" in said[-1] and "'a cat'" in said[-1]


def test_a_full_disk_ends_the_run_and_keeps_what_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, made = Images.write, Generator()

    def full(self: Images, item: Any, pixels: np.ndarray) -> None:
        if item.index == 2:
            raise RunError("the disk is full", "0 MB are free", "free some space")
        write(self, item, pixels)

    monkeypatch.setattr(Images, "write", full)
    with pytest.raises(RunError, match="the disk is full"):
        run(made, tmp_path, batch_size=1)
    monkeypatch.undo()
    made.chunks.clear()
    run(made, tmp_path)
    assert made.made == 2


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
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script), tmp_path], cwd=root)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.rglob("*.webp"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    there = len(list(tmp_path.rglob("*.webp")))
    assert 4 <= there < 60
    made = Generator()
    resumed = run(made, tmp_path, images_per_prompt=20)
    assert made.made == 60 - there
    assert resumed[0].entries == run(Generator(), tmp_path / "whole", images_per_prompt=20)[0].entries

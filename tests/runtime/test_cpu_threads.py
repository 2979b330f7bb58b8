"""Walks side by side on the cores of a CPU."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, get_ident

import pytest
import torch

from benchbench.diffusion import backbones
from benchbench.diffusion.compile import speed_up
from benchbench.diffusion.policy import Policy, make_policy
from benchbench.diffusion.rollout import generate
from benchbench.noise import Noise, Sample
from benchbench.runtime import cpu_threads
from tests.rounding import assert_same_but_rounding

SAMPLES = [Sample(f"cat {i % 5}", i, i) for i in range(9)]


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cpu_threads, "MIN_ROWS", 2)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def policy(folder: Path) -> Policy:
    return make_policy(backbones.load(str(folder), "cpu"), 4, 1.0, 5.0)


def test_the_parts_are_the_whole(tiny_sd: Path, two_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine walks as 4 and 5: the same latents within rounding, the same count, 9 samples of 4 evaluations each."""
    seen, split, whole = set[tuple[int, int]](), policy(tiny_sd), policy(tiny_sd)
    split.backbone.network.register_forward_hook(lambda _, args, __: seen.add((torch.get_num_threads(), len(args[0]))))
    found = generate(split, SAMPLES, Noise(0, "eval"))
    assert seen == {(1, 2 * 4), (1, 2 * 5)}  # one thread of torch's a part; guidance doubles the rows
    monkeypatch.setattr(cpu_threads, "MIN_ROWS", 100)
    assert_same_but_rounding(found, generate(whole, SAMPLES, Noise(0, "eval")))
    assert split.cost.unet_evals == whole.cost.unet_evals == 9 * 4


def test_every_batch_is_cut_by_its_own_rows(two_threads: None) -> None:
    """Batches of 7, 3 and 4 rows on two threads, two rows a part at least: 3 and 4, 3 on both threads, 2 and 2."""
    batches, seen = [slice(0, 7), slice(7, 10), slice(12, 16)], dict[tuple[int, int], int]()

    def part(rows: slice) -> list[int]:
        assert not torch.is_grad_enabled()
        seen[rows.start, rows.stop] = torch.get_num_threads()
        return torch.arange(16)[rows].tolist()

    found = list(cpu_threads.run_in_threads(part, batches, 2))
    assert all(x == list(range(rows.start, rows.stop)) for rows, x in found)
    assert seen == {(0, 3): 1, (3, 7): 1, (7, 10): 2, (12, 14): 1, (14, 16): 1} and len(found) == len(seen)
    alone = list(cpu_threads.run_in_threads(part, batches[1:2], 2))  # the same threads as in company, so the same bits
    assert len(alone) == 1 and seen[7, 10] == 2


def test_a_free_thread_goes_on_with_the_next_batch(two_threads: None) -> None:
    """The first of six parts waits until the five others have been looked at, on threads that the next call finds."""
    looked, seen = Event(), set[int]()

    def part(rows: slice) -> int:
        seen.add(get_ident())
        if rows.start == 0:
            assert looked.wait(60)
        return rows.stop

    for _ in range(2):
        looked.clear()
        parts = cpu_threads.run_in_threads(part, [slice(0, 4), slice(4, 8), slice(8, 12)], 2)
        assert [next(parts)[1] for _ in range(5)] == [4, 6, 8, 10, 12]
        looked.set()
        assert [x for _, x in parts] == [2]
    assert len(seen) == 2 and get_ident() not in seen


def test_after_a_failure_no_other_part_is_begun(two_threads: None) -> None:
    begun, ended = set[int](), set[int]()

    def part(rows: slice) -> None:
        begun.add(rows.start)
        if rows.start == 0:
            raise KeyError(rows.start)
        time.sleep(0.2)
        ended.add(rows.start)

    with pytest.raises(KeyError):
        list(cpu_threads.run_in_threads(part, [slice(0, 4), slice(4, 8), slice(8, 12)], 2))
    assert begun == {0, 2} and ended == {2}


def test_a_caller_that_ends_early_waits_for_what_has_begun(two_threads: None) -> None:
    begun, ended = set[int](), set[int]()

    def part(rows: slice) -> None:
        begun.add(rows.start)
        time.sleep(0.1)
        ended.add(rows.start)

    parts = cpu_threads.run_in_threads(part, [slice(0, 20)], 2)
    next(parts)
    parts.close()
    assert begun == ended == {0, 10} and torch.get_num_threads() == 2


@pytest.mark.parametrize("before", [1, 2])
def test_threads_are_as_before(two_threads: None, before: int) -> None:
    """Also where the caller's number is not the one that it asks with."""
    torch.set_num_threads(before)
    assert len(list(cpu_threads.run_in_threads(lambda rows: rows, [slice(0, 7)], 2))) == 2
    with pytest.raises(KeyError):
        list(cpu_threads.run_in_threads(lambda rows: {}[rows.start], [slice(0, 7)], 2))
    with ThreadPoolExecutor(1) as pool:
        assert torch.get_num_threads() == pool.submit(torch.get_num_threads).result() == before


def test_a_compiled_network_is_asked_by_one_thread(tiny_sd: Path, two_threads: None) -> None:
    found = policy(tiny_sd)
    assert found.threads == 2
    speed_up([found.backbone.network], compiled=True, channels_last=False)
    assert found.threads == 1

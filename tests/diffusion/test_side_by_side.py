"""Walks side by side on the cores of a CPU."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from benchbench.diffusion import backbones, side_by_side
from benchbench.diffusion.faster import speed_up
from benchbench.diffusion.policy import Policy, make_policy
from benchbench.diffusion.rollout import generate
from benchbench.noise import Noise, Sample

SAMPLES = [Sample(f"cat {i % 5}", i, i) for i in range(9)]


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(side_by_side, "FEWEST", 2)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def policy(folder: Path) -> Policy:
    return make_policy(backbones.load(str(folder), "cpu"), 4, 1.0, 5.0)


def test_the_parts_are_the_whole(tiny_sd: Path, two_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine walks as 4 and 5: the same latents within rounding, the same count, 9 samples of 4 evaluations each."""
    seen, split, whole = set[tuple[int, int]](), policy(tiny_sd), policy(tiny_sd)
    split.backbone.unet.register_forward_hook(lambda _, args, __: seen.add((torch.get_num_threads(), len(args[0]))))
    found = generate(split, SAMPLES, Noise(0, "eval"))
    assert seen == {(1, 2 * 4), (1, 2 * 5)}  # one thread of torch's a part; guidance doubles the rows
    monkeypatch.setattr(side_by_side, "FEWEST", 100)
    torch.testing.assert_close(found, generate(whole, SAMPLES, Noise(0, "eval")), atol=1e-5, rtol=1e-4)
    assert split.cost.unet_evals == whole.cost.unet_evals == 9 * 4


def test_threads_are_as_before(two_threads: None) -> None:
    assert torch.cat(side_by_side.side_by_side(lambda rows: torch.arange(7)[rows], 7, 2)).tolist() == list(range(7))
    with pytest.raises(KeyError):
        side_by_side.side_by_side(lambda rows: {}[rows.start], 7, 2)
    with ThreadPoolExecutor(1) as pool:
        assert torch.get_num_threads() == pool.submit(torch.get_num_threads).result() == 2


def test_a_compiled_network_is_asked_by_one_thread(tiny_sd: Path) -> None:
    found = policy(tiny_sd)
    assert not found.alone
    speed_up(found.backbone.unet, compiled=True, channels_last=False)
    assert found.alone

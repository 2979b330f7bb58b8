"""Nothing in the denoising loop waits for the device: no value of a tensor is read on the host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from benchbench.config import load
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.policy import Policy
from benchbench.diffusion.rollout import generate
from benchbench.noise import Noise, Sample
from benchbench.rewards import lookup
from tests.waiting import Reads

SAMPLES = [Sample("cat", i) for i in range(2)]


@pytest.fixture
def reads() -> Iterator[Reads]:
    with Reads() as mode:
        yield mode


def test_reading_is_noticed(reads: Reads) -> None:
    """What the other tests rely on."""
    x = torch.ones(2)
    float(x[0]), bool(x[0] > 0), x.nonzero(), x[x > 0], x.tolist()
    assert reads.found == ["_local_scalar_dense", "_local_scalar_dense", "nonzero", "index"]


def test_generating_reads_nothing(policy: Policy, reads: Reads) -> None:
    policy.encode(["cat"])
    reads.found.clear()
    Decoder(policy.backbone)(generate(policy, SAMPLES, Noise(0, "t")))
    assert reads.found == []


@pytest.mark.parametrize(
    ("method", "words", "after"),
    [
        ("tailorpo", [], []),
        ("tailorpo", ["method.carry=random"], []),
        ("tailorpo-g", ["method.accept=better"], []),
        # once the walk is over: the pairs that count, so that the others are not learned from
        ("spo", ["method.step_aware=false", "method.threshold=0"], ["nonzero"]),
    ],
)
def test_a_rollout_reads_nothing_inside_the_walk(
    tuned: Policy, reads: Reads, method: str, words: list[str], after: list[str]
) -> None:
    """Of methods that judge inside the walk."""
    config = load(method, "shapes", "shapes-colour", "shapes-simple", 16, 0, "shapes", words)
    cfg = config.method_config
    judge = StepReward(Decoder(tuned.backbone), lookup.get("shapes-colour")(), tuned)
    tuned.encode(["cat"])
    reads.found.clear()
    with torch.no_grad():
        next(config.method_class().collect(tuned, SAMPLES, judge, cfg, Noise(0, "t")))
    assert reads.found == after


@pytest.mark.gpu
def test_on_a_gpu_nothing_waits(tiny_sd: Any) -> None:
    """PyTorch's own check of the same, which knows every way to wait."""
    from benchbench.diffusion import backbones
    from benchbench.diffusion.policy import make_policy

    found = make_policy(backbones.load(str(tiny_sd), "cuda"), 20, 1.0, 5.0)
    generate(found, SAMPLES, Noise(0, "t"))
    torch.cuda.set_sync_debug_mode("error")
    try:
        generate(found, SAMPLES, Noise(0, "t"))
    finally:
        torch.cuda.set_sync_debug_mode("default")

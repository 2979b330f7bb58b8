"""TF32 is off unless a block allows it, for matrix products and for convolutions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from benchbench.api import Cond
from benchbench.diffusion.guidance import StepReward, guide
from benchbench.rewards import lookup
from benchbench.runtime.precision import arithmetic, exact_fp32, tf32

CUDA = torch.device("cuda")


def flags() -> tuple[bool, bool]:
    """Returns whether matrix products and cuDNN's convolutions may use TF32."""
    conv: Any = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    return torch.backends.cuda.matmul.fp32_precision == "tf32", conv.fp32_precision == "tf32"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = False, True  # PyTorch's defaults
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def test_exact_fp32_also_switches_convolutions() -> None:
    assert flags() == (False, True)
    exact_fp32()
    assert flags() == (False, False)
    # The old and the new flags agree: where they do not, PyTorch raises an error here, and so does its compiler.
    assert torch.get_float32_matmul_precision() == "highest" and not torch.backends.cudnn.allow_tf32


def test_a_block_restores_what_held_before() -> None:
    for exact in (False, True):
        if exact:
            exact_fp32()
        before = flags()
        with pytest.raises(RuntimeError, match="inside"), tf32():
            assert flags() == (True, True)
            with arithmetic("fp32", CUDA):
                assert flags() == (False, False)
            assert flags() == (True, True) and torch.get_float32_matmul_precision() == "high"
            raise RuntimeError("inside")
        assert flags() == before


def test_on_a_cpu_nothing_changes() -> None:
    with arithmetic("tf32", torch.device("cpu")):
        assert flags() == (False, True)


@pytest.mark.filterwarnings("ignore")
def test_within_a_compiled_function() -> None:
    def square(x: Tensor) -> Tensor:
        with tf32():
            y = x @ x
        return y + 1

    x = torch.eye(3)
    assert torch.equal(torch.compile(square, backend="eager")(x), square(x)) and flags() == (False, True)


@pytest.mark.parametrize("name", ["shapes-aesthetic", "shapes-clip"])
def test_a_learned_reward_is_exact_from_the_moment_it_is_made(name: str) -> None:
    lookup.get(name)()
    assert flags() == (False, False)


class Seen:
    """A reward that notes the flags it was asked under, also when its gradient was worked out."""

    name, differentiable = "seen", True

    def __init__(self) -> None:
        self.there: list[tuple[bool, bool]] = []
        self.back: list[tuple[bool, bool]] = []

    def assume_unit_range(self) -> None:
        """The images of the decoder are taken as they are."""

    def score_differentiable(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        self.there.append(flags())
        if images.requires_grad:
            images.register_hook(lambda gradient: self.back.append(flags()))
        return images.mean((1, 2, 3))


class Plain:
    """Stands in for a policy: it has what judging and guiding need."""

    def __init__(self) -> None:
        from benchbench.diffusion.policy import Cost
        from benchbench.runtime.distributed import ProcessGroup

        self.processes, self.cost, self.attempt = ProcessGroup(), Cost(), nullcontext


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_a_reward_judges_in_its_precision_on_a_gpu(precision: Any) -> None:
    """On a fake one; what is outside of the reward, such as the decoder, keeps what held."""
    outside: list[tuple[bool, bool]] = []

    def decode(x0: Tensor) -> Tensor:
        outside.append(flags())
        return x0.sigmoid()

    reward = Seen()
    judge = StepReward(decode, reward, Plain(), precision)  # type: ignore[arg-type]
    with FakeTensorMode():
        judge(torch.empty(2, 3, 4, 4, device=CUDA), ["a", "b"], "step 1")
    allowed = precision == "tf32"
    assert reward.there == [(allowed, allowed)] and outside == [(False, True)] and flags() == (False, True)


def test_what_a_judgement_keeps_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Embeddings that were made inside a judgement in TF32 serve exact scores too."""
    from benchbench.reward_models import _prompts

    monkeypatch.setattr(_prompts, "arithmetic", lambda precision, device: arithmetic(precision, CUDA))
    reward: Any = lookup.get("shapes-clip")()
    seen: list[tuple[bool, bool]] = []
    embed = reward.embed_text
    monkeypatch.setattr(reward, "embed_text", lambda tokens: seen.append(flags()) or embed(tokens))
    with tf32():
        reward.score_differentiable(torch.rand(1, 3, 32, 32), ["a red circle"])
        assert seen == [(False, False)] and flags() == (True, True)


def test_guidance_goes_back_in_the_same_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient is worked out after the reward has returned, in a thread of its own."""
    from benchbench.diffusion import guidance

    monkeypatch.setattr(guidance, "arithmetic", lambda precision, device: arithmetic(precision, CUDA))
    reward = Seen()
    judge = StepReward(torch.sigmoid, reward, Plain(), "tf32")  # type: ignore[arg-type]
    x = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    cond = Cond(torch.zeros(2, 1, 1), torch.zeros(1, 1, 1))
    moved = guide(judge.policy, judge, x, 0, cond, ["a", "b"], 0.1, 0.5)
    assert reward.there == [(True, True)] and reward.back == [(True, True)] and flags() == (False, True)
    assert not torch.equal(moved, x)

"""Each option that makes the network faster gives the same predictions and gradients, within rounding."""

from __future__ import annotations

import inspect
import shutil
from pathlib import Path

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor

from benchbench.diffusion import backbones
from benchbench.diffusion.compile import REPEATED_BLOCKS, cache_signature, speed_up
from benchbench.diffusion.lora import add_lora
from benchbench.diffusion.policy import Policy, make_policy
from tests.tiny import write_tiny_sd
from tests.tiny_sd3 import write_tiny_sd3

X = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))


def tuned(folder: Path) -> Policy:
    """A policy with an adapter that does something."""
    found = make_policy(backbones.load(str(folder), "cpu"), 20, 1.0, 5.0)
    add_lora(found.backbone.network, 2, 2.0, seed=0)
    draw = torch.Generator().manual_seed(1)
    for parameter in found.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=draw) / 10)
    return found


def looked_at(policy: Policy) -> tuple[Tensor, Tensor, list[Tensor], Tensor]:
    """The policy's step, the reference's, the gradient of a loss on every trained parameter, and decoded images."""
    cond = policy.encode(["cat", "dog", "ant"])
    step = policy.step(X, 12, cond)
    step.mean.square().mean().backward()
    gradients = [p.grad.clone() for p in policy.parameters() if p.grad is not None]
    assert len(gradients) == len(policy.parameters()) > 0
    return step.mean.detach(), policy.reference_step(X, 12, cond).mean, gradients, policy.decoder(X).detach()


def same(folder: Path, make_faster) -> None:
    """1e-4 relative, as the project promises for batch sizes and processes."""
    plain, fast = tuned(folder), tuned(folder)
    make_faster(fast)
    for a, b in zip(looked_at(fast), looked_at(plain), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_channels_last_changes_rounding_alone(tiny_sd: Path) -> None:
    def faster(policy: Policy) -> None:
        speed_up([policy.backbone.network, policy.backbone.vae], compiled=False, channels_last=True)
        for network in (policy.backbone.network, policy.backbone.vae.decoder):
            assert network.conv_in.weight.is_contiguous(memory_format=torch.channels_last)

    same(tiny_sd, faster)


def test_gradient_checkpointing_changes_rounding_alone(tiny_sd: Path) -> None:
    def faster(policy: Policy) -> None:
        policy.backbone.network.enable_gradient_checkpointing()
        assert policy.backbone.network.is_gradient_checkpointing

    same(tiny_sd, faster)


@pytest.mark.long
@pytest.mark.parametrize(
    ("part", "regions"), [("network", REPEATED_BLOCKS - {"JointTransformerBlock"}), ("vae", {"ResnetBlock2D"})]
)
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a CPU needs a C++ compiler")
def test_compiling_changes_rounding_alone(
    part: str, regions: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The UNet has one level, since each shape of a block takes seconds to compile."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))  # a shared one may hold what a kill left

    def faster(policy: Policy) -> None:
        network = getattr(policy.backbone, part)
        speed_up([network], compiled=True, channels_last=False)
        assert {type(m).__name__ for m in network.modules() if m._compiled_call_impl is not None} == regions

    same(write_tiny_sd(tmp_path / "sd", levels=1), faster)


def test_the_blocks_of_a_transformer_are_marked_for_compiling(tmp_path: Path) -> None:
    """A block is compiled when it first runs, which this test leaves out: it takes a minute."""
    network = backbones.load(str(write_tiny_sd3(tmp_path / "sd3")), "cpu").network
    speed_up([network], compiled=True, channels_last=False)
    compiled = {name for name, module in network.named_modules() if module._compiled_call_impl is not None}
    assert compiled == {"transformer_blocks.0", "transformer_blocks.1"}


def test_the_kept_signature_is_the_true_one_and_changes_no_bit(tiny_sd: Path) -> None:
    """diffusers passes on the arguments that the signature names; asked again from scratch it names the same."""
    policy = tuned(tiny_sd)  # loading keeps it
    cond = policy.encode(["cat", "dog", "ant"])
    kept, call = inspect.signature(AttnProcessor2_0()), AttnProcessor2_0.__call__
    fast = policy.reference_step(X, 12, cond).mean
    del call.__signature__
    try:
        assert inspect.signature(AttnProcessor2_0()) == kept and "encoder_hidden_states" in kept.parameters
        assert torch.equal(policy.reference_step(X, 12, cond).mean, fast)
    finally:
        cache_signature()


def test_the_reference_is_the_network_without_its_adapter(tiny_sd: Path) -> None:
    """As diffusers' own switch has it: off inside the block, on again and trainable after it, an error included."""
    policy, plain = tuned(tiny_sd), make_policy(backbones.load(str(tiny_sd), "cpu"), 20, 1.0, 5.0)
    cond = policy.encode(["cat", "dog", "ant"])
    with torch.no_grad():
        own, base = policy.step(X, 12, cond).mean, plain.step(X, 12, cond).mean
        assert not torch.allclose(own, base)
        for _ in range(2):
            assert torch.equal(policy.reference_step(X, 12, cond).mean, base)
            assert torch.equal(policy.step(X, 12, cond).mean, own)
    with pytest.raises(KeyError), policy.adapter_off():
        raise KeyError
    assert torch.equal(policy.step(X, 12, cond).mean.detach(), own) and len(policy.parameters()) > 0
    policy.backbone.network.disable_adapters()
    with torch.no_grad():
        assert torch.equal(policy.step(X, 12, cond).mean, base)

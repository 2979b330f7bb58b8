"""Live memory, counts and gradients on fake CUDA tensors, against numbers worked out by hand."""

from __future__ import annotations

import gc
from contextlib import nullcontext
from typing import Any
from unittest import mock

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.checkpoint import checkpoint

from benchbench.diffusion import fake_backward
from benchbench.diffusion.fake_cuda import LiveMemory, OperationCounter, fake_cuda

KB = 1024


def test_a_storage_counts_once_and_in_blocks() -> None:
    with fake_cuda(), LiveMemory() as live:
        x = torch.empty(100, device="cuda")  # 400 bytes take one block of 512
        view = x[10:20].view(2, 5)
        host = torch.empty(1000)
        assert (live.now, live.peak) == (512, 512)
        y = x + 1
        assert live.now == 1024
        del x
        assert live.now == 1024  # the view keeps it
        del view, y, host
        assert (live.now, live.peak) == (0, 1024)


def test_two_layers_take_what_is_worked_out_by_hand() -> None:
    """A batch of 64 rows through linear 256 -> 512, relu, linear 512 -> 256, and a mean of squares."""
    with fake_cuda(), LiveMemory() as live:
        with torch.device("cuda"):
            net = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 256))
            x = torch.empty(64, 256)
        weights = 2 * 256 * 512 * 4 + 512 * 4 + 256 * 4
        assert live.now == weights + 64 * KB
        out = net(x)
        hidden = 64 * 512 * 4
        # relu keeps its result, and so the hidden values before it are gone; linear keeps what it was given
        assert live.now == weights + 64 * KB + hidden + 64 * KB
        before = live.now
        loss = out.square().mean()
        assert live.now == before + 512  # the squares are gone: only the values are kept
        loss.backward()
        del out, loss
        assert live.now == weights + 64 * KB + weights  # each weight has a gradient
        assert sum(p.grad.numel() * 4 for p in net.parameters() if p.grad is not None) == weights


def test_a_checkpointed_block_keeps_its_input_alone() -> None:
    with fake_cuda(), LiveMemory() as live:
        with torch.device("cuda"):
            block = nn.Sequential(nn.Linear(256, 2048), nn.ReLU(), nn.Linear(2048, 256))
            x = torch.empty(64, 256, requires_grad=True)
        start = live.now
        out = block(x)
        plain = live.now - start
        del out
        gc.collect()  # a graph without a backward pass is a cycle of references
        out = checkpoint(block, x, use_reentrant=False)
        kept = live.now - start
        assert (plain, kept) == (64 * 2048 * 4 + 64 * KB, 64 * KB)
        live.reset_peak()
        out.sum().backward()
        assert live.peak - start > plain  # made again for the backward pass


def test_gradients_reach_what_they_reach_on_the_cpu() -> None:
    """The walk over the graph leaves gradients of the same shapes and types as PyTorch's engine does."""

    def run(device: str) -> list[tuple[torch.Size, torch.dtype] | None]:
        with torch.device(device):
            shared, used, unused = nn.Linear(8, 8), nn.Linear(8, 4), nn.Linear(8, 4)
            x = torch.randn(3, 8)
        h = shared(shared(x)).double()  # used twice, then in another type
        out = used(h.float()) + h[:, :4].float() * used.bias
        out.mean().backward()
        parameters = [*shared.parameters(), *used.parameters(), *unused.parameters()]
        return [None if p.grad is None else (p.grad.shape, p.grad.dtype) for p in parameters]

    with fake_cuda():
        fake = run("cuda")
    assert fake == run("cpu")
    assert fake[-1] is None and fake[0] is not None


def _network() -> tuple[Any, list[Tensor]]:
    """A small UNet and what it reads."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=16,
        layers_per_block=1,
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=8,
    )
    return unet, [torch.randn(4, 4, 16, 16), torch.full((4,), 7), torch.randn(4, 5, 32)]


def test_the_walk_gives_the_numbers_of_pytorchs_engine() -> None:
    unet, inputs = _network()
    unet(*inputs).sample.square().mean().backward()
    wanted = [p.grad for p in unet.parameters()]
    unet.zero_grad(set_to_none=True)
    fake_backward.backward([unet(*inputs).sample.square().mean()], [None])
    assert len(wanted) > 100
    for name, one, other in zip(
        dict(unet.named_parameters()), wanted, (p.grad for p in unet.parameters()), strict=True
    ):
        assert (one is None) == (other is None), name
        if one is not None and other is not None:
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-9, msg=name)


@pytest.mark.parametrize("trained", ["", "to_q"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_walk_frees_memory_when_pytorchs_engine_does(checkpointing: bool, trained: str) -> None:
    """On fake tensors of the CPU, which the engine takes, both reach the same peak."""
    peaks = []
    for ours in (True, False):
        with FakeTensorMode(allow_non_fake_inputs=True), LiveMemory("cpu") as live:
            unet, inputs = _network()
            for name, parameter in unet.named_parameters():
                parameter.requires_grad_(trained in name)
            if checkpointing:
                unet.enable_gradient_checkpointing()
            weights = live.now
            with fake_backward.freeing() if ours else nullcontext():
                loss = unet(*inputs).sample.square().mean()
            live.reset_peak()
            if ours:
                with mock.patch.object(torch._C, "_current_graph_task_id", lambda: 0):
                    fake_backward.backward([loss], [None])
            else:
                loss.backward()
            peaks.append(live.peak - weights)
            del unet, inputs, loss
    assert peaks[0] == pytest.approx(peaks[1], rel=0.01)


def test_grad_gives_the_inputs_gradient_and_leaves_the_weights_alone() -> None:
    with fake_cuda():
        with torch.device("cuda"):
            net, x = nn.Linear(8, 4), torch.randn(3, 8, requires_grad=True)
        (gradient,) = torch.autograd.grad(net(x).square().sum(), x)
        assert gradient.shape == (3, 8) and gradient.device.type == "cuda"
        assert net.weight.grad is None


@pytest.mark.parametrize(("dtype", "width"), [(torch.bfloat16, 40), (torch.float32, 40), (torch.bfloat16, 512)])
def test_attention_keeps_no_scores(dtype: torch.dtype, width: int) -> None:
    with fake_cuda(), LiveMemory() as live:
        q = torch.empty(1, 2, 4096, width, dtype=dtype, device="cuda", requires_grad=True)
        start = live.now
        out = nn.functional.scaled_dot_product_attention(q, q, q)
        assert live.now - start <= 1.2 * live_size(q) + 2 * 4096 * 4  # the result, and one number a row
        out.sum().backward()
        scores = 2 * 4096 * 4096 * dtype.itemsize
        assert live.peak < scores


def live_size(x: torch.Tensor) -> int:
    return x.numel() * x.element_size()


def test_autocast_computes_in_half_precision() -> None:
    with fake_cuda(), torch.autocast("cuda", torch.bfloat16):
        assert nn.Linear(4, 4, device="cuda")(torch.randn(2, 4, device="cuda")).dtype == torch.bfloat16


def test_what_is_counted() -> None:
    with fake_cuda():
        x = torch.ones(1024, device="cuda")
        with OperationCounter() as counted:
            y = (x + 1).view(32, 32).T  # one kernel reads 4 kB and writes 4 kB; views launch nothing
            assert (counted.kernels, counted.bytes) == (1, 8 * KB)
            y.sum().item()
            torch.tensor([1.0, 2.0], device="cuda")
            torch.ones(2).pin_memory().to("cuda", non_blocking=True)
            y.cpu()
    assert (counted.copies, counted.pinned) == (1, 1)
    assert counted.reads == ["_local_scalar_dense", "copy to the host"]


def test_tensors_on_two_devices_are_an_error() -> None:
    with fake_cuda(), pytest.raises(Exception, match="device"):
        torch.ones(3, device="cuda") + torch.ones(3)

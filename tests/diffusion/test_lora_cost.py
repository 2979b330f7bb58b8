"""A trained adapter's share of a forward without gradient, counted on SD 1.5's UNet without a GPU."""

from __future__ import annotations

import pytest
import torch

from benchbench.diffusion.fake_cuda import fake_backbone, fake_cuda
from benchbench.diffusion.lora import add_lora
from benchbench.runtime.counting import OperationCounter

ROWS = 4


@pytest.mark.slow
def test_an_adapter_adds_little_to_a_forward() -> None:
    """At most 1.35 times the base's kernels and 1.2 times its bytes; through peft it would be 1.9 times both."""
    with fake_cuda(), torch.no_grad():
        unet = fake_backbone("sd15", "bf16").network
        x = torch.empty(ROWS, 4, 64, 64, dtype=torch.bfloat16, device="cuda")
        tau = torch.full((ROWS,), 500, device="cuda")
        text = torch.empty(ROWS, 77, 768, dtype=torch.bfloat16, device="cuda")

        def forward() -> OperationCounter:
            unet(x, tau, text)  # what is computed once is computed here
            with OperationCounter() as counted:
                unet(x, tau, text)
            return counted

        base = forward()
        add_lora(unet, 4, 4.0, seed=0)
        ours = forward()
        for layer in unet.modules():
            if hasattr(layer, "low_rank"):
                del layer.forward
        peft = forward()
    assert 500 < base.kernels < 1500 and ours.copies == base.copies and ours.reads == base.reads == []
    assert ours.kernels <= 1.35 * base.kernels and ours.bytes <= 1.2 * base.bytes
    assert peft.kernels > 1.8 * base.kernels and peft.bytes > 1.8 * base.bytes

"""DoRA and convolutions of three matrices: as peft computes them, beside small cases by hand, and what is refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file

from benchbench.diffusion import backbones
from benchbench.diffusion.load_finetuned import with_weights
from benchbench.diffusion.lora import load_adapter
from benchbench.diffusion.lora_file import Layer
from benchbench.diffusion.lora_merge import changed_weight
from benchbench.errors import CorruptError
from benchbench.hub.weights import Weights

X = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
TEXT = torch.randn(2, 12, 16, generator=torch.Generator().manual_seed(1))
LAYER = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
CONV = "down_blocks.0.resnets.0.conv1"


def predicted(unet: Any) -> torch.Tensor:
    with torch.no_grad():
        return unet(X, 500, TEXT).sample


@pytest.fixture(scope="module")
def plain(tiny_sd: Path) -> Any:
    return backbones.load(str(tiny_sd), "cpu").network


def test_dora_by_hand() -> None:
    """W + s B A = [[3, 4], [0, 2]]: its outputs have norms 5 and 2, its inputs 3 and the square root of 20."""
    weight = torch.tensor([[3.0, 0.0], [0.0, 2.0]])
    A, B = torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0], [0.0]])
    outputs = Layer(A, B, 2.0, magnitude=torch.tensor([[10.0], [1.0]]))
    torch.testing.assert_close(changed_weight(weight, outputs, 2.0), torch.tensor([[6.0, 8.0], [0.0, 1.0]]))
    inputs = Layer(A, B, 2.0, magnitude=torch.tensor([[1.5, 20**0.5]]))
    torch.testing.assert_close(changed_weight(weight, inputs, 2.0), torch.tensor([[1.5, 4.0], [0.0, 2.0]]))


def test_a_convolution_of_three_matrices_by_hand() -> None:
    """One input, rank 1: the kernel is B mid A."""
    mid = torch.arange(9.0).reshape(1, 1, 3, 3)
    layer = Layer(torch.full((1, 1, 1, 1), 2.0), torch.full((1, 1, 1, 1), 3.0), 1.0, mid=mid)
    torch.testing.assert_close(changed_weight(torch.ones(1, 1, 3, 3), layer, 0.5), 1 + 3 * mid)


@pytest.mark.parametrize("targets", [["to_q", "to_k", "to_v", "to_out.0"], ["to_v", "conv1", "conv2", "proj_in"]])
def test_a_file_of_peft_gives_what_peft_computes(targets: list[str], plain: Any, tmp_path: Path) -> None:
    """Linear layers and convolutions; the file is written by diffusers, with peft's settings in its header."""
    theirs = copy.deepcopy(plain)
    config = LoraConfig(r=3, lora_alpha=5, use_dora=True, use_rslora=True, target_modules=targets)
    theirs.add_adapter(config)
    numbers = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "lora_" in name:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=numbers))
    settings = {k: sorted(v) if isinstance(v, set) else v for k, v in theirs.peft_config["default"].to_dict().items()}
    StableDiffusionPipeline.save_lora_weights(
        tmp_path,
        unet_lora_layers={n: t.detach().contiguous() for n, t in get_peft_model_state_dict(theirs).items()},
        unet_lora_adapter_metadata=settings,
    )
    ours = load_adapter(plain, tmp_path)
    torch.testing.assert_close(predicted(ours), predicted(theirs), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(predicted(ours), predicted(plain), atol=1e-3)


def dora(plain: Any, layer: str = LAYER, factor: float = 1.0) -> dict[str, torch.Tensor]:
    weight = plain.get_submodule(layer).weight
    numbers = torch.Generator().manual_seed(7)
    name = f"lora_unet_{layer.replace('.', '_')}"
    return {
        f"{name}.lora_down.weight": factor * torch.randn(2, *weight.shape[1:], generator=numbers),
        f"{name}.lora_up.weight": factor * torch.randn(len(weight), 2, *[1] * (weight.ndim - 2), generator=numbers),
        f"{name}.dora_scale": torch.rand(1, weight.shape[1], *[1] * (weight.ndim - 2), generator=numbers),
    }


def test_the_base_model_stays_and_unchanged_weights_are_shared(tiny_sd: Path, plain: Any, tmp_path: Path) -> None:
    """A row of a LoRA before and after a row of DoRA are as each alone; only the changed layer takes memory."""
    base = backbones.load(str(tiny_sd), "cpu")
    save_file(dora(plain), tmp_path / "dora.safetensors")
    lora = {name: tensor for name, tensor in dora(plain).items() if "dora" not in name}
    save_file(lora, tmp_path / "lora.safetensors")
    files = [Weights("lora", tmp_path / name) for name in ("lora.safetensors", "dora.safetensors")]
    alone = [predicted(with_weights(backbones.load(str(tiny_sd), "cpu"), file).network) for file in files]
    for number in (0, 1, 0, 1):
        network = with_weights(base, files[number]).network
        assert torch.equal(predicted(network), alone[number])
    assert torch.equal(predicted(with_weights(base, None).network), predicted(plain))
    theirs = {name.replace(".base_layer.", "."): tensor for name, tensor in base.network.state_dict().items()}
    ours = network.state_dict()
    assert [name for name in ours if ours[name].data_ptr() != theirs[name].data_ptr()] == [f"{LAYER}.weight"]


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_in_half_precision_the_merged_weight_is_rounded_once(dtype: str, tiny_sd: Path, tmp_path: Path) -> None:
    base = backbones.load(str(tiny_sd), "cpu", dtype)
    save_file(dora(base.network, CONV), tmp_path / "dora.safetensors")
    network = load_adapter(base.network, tmp_path / "dora.safetensors")
    weight, tensors = base.network.get_submodule(CONV).weight.double(), list(dora(base.network, CONV).values())
    A, B, magnitude = (tensor.double() for tensor in tensors)
    changed = weight + torch.einsum("or,rikl->oikl", B.flatten(1), A)
    wanted = magnitude * changed / changed.square().sum((0, 2, 3), keepdim=True).sqrt()
    found = network.get_submodule(CONV).weight
    assert found.dtype is backbones.DTYPES[dtype]
    torch.testing.assert_close(found.double(), wanted.to(found.dtype).double(), rtol=2**-7, atol=1e-6)


def test_weights_whose_norm_is_zero_are_refused(plain: Any, tmp_path: Path) -> None:
    """peft divides by the norm alone, so a row of zeros gives no number."""
    network = copy.deepcopy(plain)
    with torch.no_grad():
        network.get_submodule(LAYER).weight[0] = 0
    weight = network.get_submodule(LAYER).weight
    state = {f"unet.{LAYER}.lora_A.weight": torch.zeros(1, weight.shape[1])}
    state |= {f"unet.{LAYER}.lora_B.weight": torch.zeros(len(weight), 1)}
    state |= {f"unet.{LAYER}.lora_magnitude_vector": torch.ones(len(weight))}
    save_file(state, tmp_path / "dora.safetensors")
    with pytest.raises(CorruptError, match="cannot be merged") as error:
        load_adapter(network, tmp_path / "dora.safetensors")
    assert LAYER in error.value.cause and len(str(error.value).splitlines()) == 3


def test_settings_without_dora_beside_magnitudes(plain: Any, tmp_path: Path) -> None:
    """peft would leave them out in silence."""
    state = {name: tensor for name, tensor in dora(plain).items() if "dora" not in name}
    name = f"lora_unet_{LAYER.replace('.', '_')}"
    save_file({**state, f"{name}.lora_magnitude_vector": torch.ones(16)}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 2, "lora_alpha": 2, "use_dora": false}')
    with pytest.raises(CorruptError, match="contradicts itself") as error:
        load_adapter(plain, tmp_path / "adapter_model.safetensors")
    assert "no DoRA" in error.value.cause

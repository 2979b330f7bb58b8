"""Base models in the real folder format: what loads, and what is refused with which message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchbench.diffusion import backbones
from benchbench.diffusion.lora import add_lora, load_adapter, save_adapter
from benchbench.diffusion.policy import make_policy
from benchbench.diffusion.sample import sample
from benchbench.errors import CorruptError, MissingError, UsageError
from benchbench.hub import models
from benchbench.noise import Noise, Sample
from tests.tiny import write_tiny_sd


def test_a_wider_text_encoder_loads_like_sd2(tmp_path: Path) -> None:
    """SD 2.x differs from 1.x in the width of its text conditioning; nothing is fixed to 768."""
    backbone = backbones.load(str(write_tiny_sd(tmp_path / "sd2", cross_dim=32)), "cpu")
    images = sample(make_policy(backbone, 4, 1.0, 5.0), [Sample("cat", 0)], Noise(0, "eval"))
    assert images.shape == (1, 16, 16, 3) and backbone.image_size == 16 and backbone.latent_shape == (4, 8, 8)


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_precisions(dtype: str, tiny_sd: Path) -> None:
    """The UNet in the named type, log-probs and images in float32; in fp16 the decoder stays in fp32."""
    backbone = backbones.load(str(tiny_sd), "cpu", dtype)
    assert backbone.network.dtype == backbones.DTYPES[dtype]
    assert backbone.vae.dtype == (torch.float32 if dtype == "fp16" else backbones.DTYPES[dtype])
    policy = make_policy(backbone, 4, 1.0, 5.0)
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        step = policy.step(x, 4, policy.encode(["cat", "dog"]))
    assert step.mean.dtype == torch.float32 and step.log_prob(x).dtype == torch.float32


def test_weights_saved_in_half_precision_load_in_full(tmp_path: Path) -> None:
    folder = write_tiny_sd(tmp_path / "half", dtype=torch.float16)
    assert backbones.load(str(folder), "cpu", "fp32").network.dtype == torch.float32


def test_the_hash_is_of_the_content(tiny_sd: Path, tmp_path: Path) -> None:
    same, other = write_tiny_sd(tmp_path / "same"), write_tiny_sd(tmp_path / "other", seed=1)
    assert models.content_hash(same) == models.content_hash(tiny_sd) != models.content_hash(other)


def test_other_predictions_are_refused(tmp_path: Path) -> None:
    folder = write_tiny_sd(tmp_path / "sample", prediction_type="sample")
    with pytest.raises(UsageError, match="prediction_type='sample'"):
        make_policy(backbones.load(str(folder), "cpu"), 20, 1.0, 5.0)


def test_another_pipeline_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_sd(tmp_path / "flux")
    index = folder / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "_class_name": "FluxPipeline"}))
    with pytest.raises(UsageError, match="is a FluxPipeline"):
        backbones.load(str(folder), "cpu")


def test_missing_weights_name_the_command() -> None:
    with pytest.raises(MissingError) as error:
        backbones.load("sd15", "cpu")
    assert error.value.code == 3 and error.value.remedy == "bench fetch --models sd15"
    assert "stable-diffusion-v1-5/stable-diffusion-v1-5" in error.value.cause
    with pytest.raises(MissingError, match="owner/name"):
        backbones.load("owner/name", "cpu")


def test_names_that_can_be_no_model(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no model 'sd16'"):
        backbones.load("sd16", "cpu")
    with pytest.raises(UsageError, match="not a model folder"):
        backbones.load(str(tmp_path), "cpu")


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="nonsense"):
        backbones.pick_device("nonsense")


@pytest.mark.parametrize(
    ("card", "capability", "expected"),
    [("V100", (7, 0), "fp16"), ("T4", (7, 5), "fp16"), ("A100", (8, 0), "bf16"), ("RTX 4090", (8, 9), "bf16"),
     ("H100", (9, 0), "bf16")],
)  # fmt: skip
def test_auto_is_what_a_gpu_has_in_hardware(
    card: str, capability: tuple[int, int], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked of the very GPU that is used, and not of the first one; a word that was chosen stays."""
    capabilities = {torch.device("cuda:1"): capability}
    monkeypatch.setattr(torch.cuda, "get_device_capability", capabilities.__getitem__)
    monkeypatch.setattr(torch.version, "hip", None)
    assert backbones.pick_dtype("auto", torch.device("cuda:1")) == expected
    assert backbones.pick_dtype("fp32", torch.device("cuda:1")) == "fp32"


def test_auto_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every AMD GPU that PyTorch runs on has bf16; without CUDA it is float32."""
    monkeypatch.setattr(torch.version, "hip", "6.0")
    assert backbones.pick_dtype("auto", torch.device("cuda")) == "bf16"
    assert [backbones.pick_dtype("auto", torch.device(name)) for name in ("cpu", "mps")] == ["fp32", "fp32"]
    assert backbones.pick_dtype("bf16", torch.device("cpu")) == "bf16"


def test_a_precision_that_there_is_not() -> None:
    with pytest.raises(UsageError) as error:
        backbones.pick_dtype("half", torch.device("cpu"))
    assert all(word in error.value.cause for word in ("auto", "fp32", "bf16", "fp16"))


def test_damaged_files_are_named(tmp_path: Path) -> None:
    folder = write_tiny_sd(tmp_path / "sd")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CorruptError, match="the unet of") as error:
        backbones.load(str(folder), "cpu")
    assert error.value.code == 4
    weights.unlink()
    with pytest.raises(MissingError, match="no weights of its unet"):
        backbones.load(str(folder), "cpu")


def test_adapters_of_another_model_and_damaged_ones(tiny_sd: Path, tmp_path: Path) -> None:
    small, wide = backbones.load(str(tiny_sd), "cpu"), write_tiny_sd(tmp_path / "wide", cross_dim=32)
    add_lora(small.network, 4, 4.0, seed=0)
    file = save_adapter(small.network, tmp_path)
    with pytest.raises(CorruptError, match="another model"):
        load_adapter(backbones.load(str(wide), "cpu").network, tmp_path)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(CorruptError, match="damaged"):
        load_adapter(backbones.load(str(tiny_sd), "cpu").network, tmp_path)
    with pytest.raises(CorruptError, match="holds no adapter"):
        load_adapter(small.network, tmp_path / "nothing")


def test_adapter_init_is_a_function_of_the_seed(tiny_sd: Path) -> None:
    """A ~ N(0, 1/r²), B = 0, rank 4, on q, k, v and out of every attention: 4 x 2 tensors an attention."""
    states = []
    for seed in (0, 0, 1):
        unet = backbones.load(str(tiny_sd), "cpu").network
        add_lora(unet, 4, 4.0, seed)
        states.append({n: p.detach().clone() for n, p in unet.named_parameters() if p.requires_grad})
    assert all(torch.equal(states[0][n], states[1][n]) for n in states[0])
    a = torch.cat([p.flatten() for n, p in states[0].items() if "lora_A" in n])
    assert float(a.std()) == pytest.approx(0.25, rel=0.05)
    assert all(float(p.abs().sum()) == 0 for n, p in states[0].items() if "lora_B" in n)
    assert not torch.equal(a, torch.cat([p.flatten() for n, p in states[2].items() if "lora_A" in n]))
    attentions = sum(name.endswith("to_q.base_layer") for name, _ in unet.named_modules())
    assert len(states[0]) == attentions * 8 > 0


def test_the_same_adapter_is_the_same_file(tiny_sd: Path, tmp_path: Path) -> None:
    """safetensors orders metadata by chance: two keys in eight files are alike in 1 of 128 cases unless sorted."""
    small = backbones.load(str(tiny_sd), "cpu")
    add_lora(small.network, 2, 2.0, seed=0)
    assert len({save_adapter(small.network, tmp_path).read_bytes() for _ in range(8)}) == 1


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_part_without_one_of_its_weights_is_refused(part: str, tmp_path: Path) -> None:
    """The libraries would draw it at random, other at each start."""
    from safetensors.torch import load_file, save_file

    (file,) = (write_tiny_sd(tmp_path / "sd") / part).glob("*.safetensors")
    state = load_file(file)
    gone = next(name for name in state if name.endswith(".weight"))
    del state[gone]
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(CorruptError, match=f"the {part} of") as error:
        backbones.load(str(tmp_path / "sd"), "cpu")
    assert "would stay random" in error.value.cause and gone in error.value.cause

"""Training every weight: the reference is a frozen copy, the UNet is saved as diffusers reads it, and runs resume."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchbench.config import TrainConfig
from benchbench.diffusion import backbones
from benchbench.diffusion.finetuned import load_network, make_trainable
from benchbench.diffusion.policy import Policy, make_policy
from benchbench.errors import CorruptError
from benchbench.store import runs
from benchbench.train import checkpoint
from benchbench.train.loop import train
from benchbench.train.trainer import Trainer

FULL = ["train.finetune=full", "train.lr=1e-3", "train.eval_every=0"]
X = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))


def quiet(_: str) -> None:
    pass


def test_training_every_weight_is_another_run(configure) -> None:
    """A run's id is a digest of all of its settings, those that have their default too."""
    assert TrainConfig().model_dump()["finetune"] == "lora"
    assert configure("tailorpo").digest != configure("tailorpo", "train.finetune=full").digest
    assert configure("tailorpo").digest == configure("tailorpo", "train.finetune=lora").digest


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_the_reference_in_half_precision_has_the_bits_of_one_in_float32(dtype: str, tiny_sd: Path) -> None:
    """It keeps what autocast would round at each use: half the memory of its linear and convolution layers."""
    import copy

    policy = make_policy(backbones.load(str(tiny_sd), "cpu", dtype, "fp32"), 20, 1.0, 5.0)
    whole = copy.deepcopy(policy.backbone.network)
    whole.forward = torch.autocast("cpu", backbones.DTYPES[dtype])(whole.forward)
    make_trainable(policy)
    kinds = {p.dtype for name, p in policy.reference.named_parameters() if "norm" not in name}
    assert kinds == {backbones.DTYPES[dtype]} and all(
        p.dtype is torch.float32 for name, p in policy.reference.named_parameters() if "norm" in name
    )
    with torch.no_grad():
        found = policy.reference_predict(X, torch.tensor([900, 20]), policy.encode(["cat", "dog"]))
        wanted = whole(X, torch.tensor([900, 20]), policy.encode(["cat", "dog"]).text).sample.float()
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_policy_and_reference_are_equal_until_the_first_update(dtype: str, tiny_sd: Path) -> None:
    """To the bit, in any precision; then the policy moves, in fp32, and the reference stays what it was."""
    policy = make_policy(backbones.load(str(tiny_sd), "cpu", dtype, "fp32"), 20, 1.0, 5.0)
    make_trainable(policy)
    cond = policy.encode(["cat", "dog"])
    step, reference = policy.step(X, 12, cond), policy.reference_step(X, 12, cond)
    assert torch.equal(step.mean, reference.mean) and step.mean.dtype == torch.float32
    assert step.mean.requires_grad and not reference.mean.requires_grad
    parameters = policy.parameters()
    assert len(parameters) == len(list(policy.backbone.network.parameters())) and parameters[0].dtype == torch.float32
    optimizer = torch.optim.SGD(parameters, lr=1e-3)
    step.mean.square().sum().backward()
    optimizer.step()
    with torch.no_grad():
        moved, after = policy.step(X, 12, cond), policy.reference_step(X, 12, cond)
    assert not torch.allclose(moved.mean, step.mean) and torch.equal(after.mean, reference.mean)
    plain = make_policy(backbones.load(str(tiny_sd), "cpu", dtype), 20, 1.0, 5.0)
    with torch.no_grad():
        base = plain.step(X, 12, plain.encode(["cat", "dog"]))
    torch.testing.assert_close(base.mean, reference.mean, atol=1e-6 if dtype == "fp32" else 0.05, rtol=0)


def test_within_the_block_the_backbone_is_the_reference(tiny_sd: Path) -> None:
    policy: Policy = make_policy(backbones.load(str(tiny_sd), "cpu"), 20, 1.0, 5.0)
    make_trainable(policy)
    unet = policy.backbone.network
    with pytest.raises(RuntimeError), policy.adapter_off():
        assert policy.backbone.network is policy.reference is not unet
        raise RuntimeError
    assert policy.backbone.network is unet


def test_a_run_is_saved_as_a_unet_and_found_again(configure, tiny_sd: Path, tmp_path: Path) -> None:
    from diffusers import UNet2DConditionModel

    store = tmp_path / "store"
    out = train(configure("ddpo", *FULL, samples=8), store / "runs" / "full", log=quiet)
    assert sorted(p.name for p in (out / "unet").iterdir()) == ["config.json", "diffusion_pytorch_model.safetensors"]
    assert not (out / runs.ADAPTER).exists() and runs.read(out).state == "complete"
    found = runs.find_adapter(store, "full")
    assert found.weights.kind == "unet" and found.hash == json.loads((out / "done.json").read_text())["adapter_sha256"]
    theirs = UNet2DConditionModel.from_pretrained(out, subfolder="unet")
    backbone = backbones.load(str(tiny_sd), "cpu")
    ours = load_network(found.weights.path, backbone)
    text = torch.randn(2, 12, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(ours(X, 500, text).sample, theirs(X, 500, text).sample)
        assert not torch.allclose(ours(X, 500, text).sample, backbone.network(X, 500, text).sample, atol=1e-4)
    weights = out / "unet" / "diffusion_pytorch_model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-3] ^= 1
    weights.write_bytes(raw)
    with pytest.raises(CorruptError, match="damaged"):
        runs.find_adapter(store, "full")
    weights.write_bytes(raw[:100])
    with pytest.raises(CorruptError, match="cannot be loaded"):
        load_network(found.weights.path, backbone)
    weights.unlink()
    assert runs.read(out).state == "damaged"


def test_interrupted_it_resumes_to_the_same_bits(configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, plain = configure("tailorpo", *FULL, samples=16), Trainer._rollout

    def rollout(self: Trainer):
        if self.state.samples == 8:
            raise KeyboardInterrupt
        return plain(self)

    monkeypatch.setattr(Trainer, "_rollout", rollout)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", log=quiet)
    monkeypatch.setattr(Trainer, "_rollout", plain)
    said: list[str] = []
    train(config, tmp_path / "run", resume=True, log=said.append)
    assert any("resuming after 8" in line for line in said)
    train(config, tmp_path / "whole", log=quiet)
    files = [tmp_path / name / "unet" / "diffusion_pytorch_model.safetensors" for name in ("run", "whole")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_killed_between_the_weights_and_the_mark_it_ends_well(
    configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is there, done.json is not, and a half-written one is left: all is written again."""
    config, out = configure("tailorpo", *FULL, samples=8), tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoint, "save_done", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        train(config, out, log=quiet)
    (out / ".unet.123-4.tmp").mkdir()
    assert runs.read(out).state == "resumable"
    train(config, out, resume=True, log=quiet)
    assert runs.read(out).state == "complete" and not list(out.glob(".*"))


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_half_precision_trains_with_weights_in_fp32(dtype: str, configure, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    out = train(configure("tailorpo", *FULL, f"train.dtype={dtype}", samples=8), tmp_path / "run", log=quiet)
    state = load_file(out / "unet" / "diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}

"""What authors released loads from every layout and gives the images of the network that it holds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from benchbench.api import PromptSet
from benchbench.diffusion import backbones
from benchbench.diffusion.policy import make_policy
from benchbench.diffusion.sample import sample
from benchbench.errors import CorruptError, MissingError, UsageError
from benchbench.evaluate.lazy_model import LazyModel
from benchbench.evaluate.report import evaluate
from benchbench.evaluate.rows import check_model
from benchbench.hub import lock, weights
from benchbench.noise import Noise, Sample
from benchbench.runtime.hashing import file_sha256
from benchbench.store.runs import find_adapter
from tests.evaluate.released import ALPHA, RANK, WEIGHTS, cached, merged, write_lora
from tests.tiny import write_tiny_sd
from tests.tiny_xl import write_tiny_sdxl

SAMPLER = {"steps": 2, "eta": 1.0, "guidance_scale": 2.0}
SAMPLES = [Sample("a cat", 0), Sample("a dog", 1)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_sd(tmp_path_factory.mktemp("tiny") / "sd")


@pytest.fixture(scope="module")
def tuned(base: Path) -> Path:
    """Writes the pipeline with W + B A, which a LoRA file with alpha = rank must equal."""
    return merged(base, base.parent / "tuned", 1.0)


def images(folder: Path) -> np.ndarray:
    policy = make_policy(backbones.load(str(folder), "cpu"), **SAMPLER)
    return sample(policy, SAMPLES, Noise(0, "eval")).astype(int)


def drawn(model: Path, reference: str | Path, store: Path) -> np.ndarray:
    """Generates as `bench eval` does."""
    one = find_adapter(store, reference)
    check_model([one], str(model), "", lambda _: None)
    evaluated = LazyModel(str(model), SAMPLER, "cpu", "fp32", lambda _: None).with_adapter("row", one)
    return evaluated.open().generate(SAMPLES, Noise(0, "eval")).astype(int)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.abs(a - b).max() <= 1)


def test_a_unet_in_a_subfolder_and_at_the_root(base: Path, tuned: Path, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "unet").symlink_to(tuned / "unet")
    expected = images(tuned)
    assert not same(expected, images(base))
    sub, root = find_adapter(tmp_path, tmp_path / "sub"), find_adapter(tmp_path, tuned / "unet")
    assert (sub.weights.kind, sub.label, root.label) == ("unet", "sub", "unet") and sub.hash == root.hash
    assert same(drawn(base, tmp_path / "sub", tmp_path), expected)
    assert same(drawn(base, tuned / "unet", tmp_path), expected)


def test_a_unet_in_half_precision_alone(base: Path, tuned: Path, tmp_path: Path) -> None:
    """Diffusion-KTO's checkpoint is saved so: with and without the variant's name in the file name."""
    state = {name: tensor.half() for name, tensor in load_file(tuned / "unet" / WEIGHTS).items()}
    rounded = merged(base, tmp_path / "rounded", 1.0)
    floats = {name: tensor.float() for name, tensor in state.items()}
    save_file(floats, rounded / "unet" / WEIGHTS, metadata={"format": "pt"})
    for name in (WEIGHTS, "diffusion_pytorch_model.fp16.safetensors"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text((tuned / "unet" / "config.json").read_text())
        save_file(state, folder / name, metadata={"format": "pt"})
        assert same(drawn(base, folder, tmp_path), images(rounded))


def test_a_merged_pipeline_is_all_its_own(base: Path, tuned: Path, tmp_path: Path) -> None:
    """The pipeline's VAE and text encoder are used too, which may differ from the base's."""
    other = write_tiny_sd(tmp_path / "other", seed=1)
    for folder in (tuned, other):
        assert find_adapter(tmp_path, folder).weights.kind == "pipeline"
        assert same(drawn(base, folder, tmp_path), images(folder))
    assert not same(images(other), images(tuned))


@pytest.mark.parametrize(("form", "prefix"), [("diffusers", "unet."), ("processor", ""), ("processor", "unet.")])
def test_a_lora_file_by_any_naming(form: str, prefix: str, base: Path, tuned: Path, tmp_path: Path) -> None:
    folder = write_lora(base, tmp_path / "lora", form, prefix)
    assert same(drawn(base, folder, tmp_path), images(tuned))
    file = folder / "pytorch_lora_weights.safetensors"
    named = file.rename(folder / "spo-sd-v1-5_lora_diffusers.safetensors")
    one = find_adapter(tmp_path, folder)
    assert one.hash == file_sha256(named) == find_adapter(tmp_path, named).hash
    assert (one.label, find_adapter(tmp_path, named).label) == ("lora", "spo-sd-v1-5_lora_diffusers")
    assert same(drawn(base, named, tmp_path), images(tuned))


def test_the_alpha_of_peft_is_read(base: Path, tmp_path: Path) -> None:
    """adapter_config.json says alpha 3 and rank 2, so the weights are W + 1.5 B A."""
    folder = write_lora(base, tmp_path / "lora", "peft")
    assert same(drawn(base, folder, tmp_path), images(merged(base, tmp_path / "whole", ALPHA / RANK)))


def test_several_lora_files(base: Path, tmp_path: Path) -> None:
    """The file for diffusers is taken before a copy for other programs; of two equal ones the user names one."""
    folder = write_lora(base, tmp_path / "lora", "diffusers")
    raw = (folder / "pytorch_lora_weights.safetensors").read_bytes()
    (folder / "pytorch_lora_weights.safetensors").unlink()
    for name in ("a_lora_diffusers.safetensors", "a_lora_webui.safetensors"):
        (folder / name).write_bytes(raw)
    assert find_adapter(tmp_path, folder).weights.path.name == "a_lora_diffusers.safetensors"
    (folder / "b_lora_diffusers.safetensors").write_bytes(raw)
    with pytest.raises(UsageError, match="holds 3 LoRA files"):
        find_adapter(tmp_path, folder)


def test_a_text_encoder_in_a_lora_is_not_dropped_in_silence(base: Path, tmp_path: Path) -> None:
    folder = write_lora(base, tmp_path / "lora", "diffusers")
    file = folder / "pytorch_lora_weights.safetensors"
    extra = {"text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight": torch.zeros(2, 16)}
    save_file({**load_file(file), **extra}, file)
    with pytest.raises(CorruptError, match="changes the text encoder") as error:
        drawn(base, folder, tmp_path)
    assert "q_proj" in error.value.cause and "UNet alone" in error.value.remedy


def test_another_architecture(base: Path, tmp_path: Path) -> None:
    """config.json tells before a weight is read; the error's three lines name what differs."""
    wide = write_tiny_sd(tmp_path / "wide", cross_dim=32)
    xl = write_tiny_sdxl(tmp_path / "xl")
    for reference in (wide / "unet", wide, xl / "unet"):
        with pytest.raises(UsageError, match="is no fine-tuned") as error:
            drawn(base, reference, tmp_path)
        assert "cross_attention_dim" in error.value.cause and len(str(error.value).splitlines()) == 3


def test_weights_that_do_not_fill_the_network(base: Path, tuned: Path, tmp_path: Path) -> None:
    """A missing tensor would stay random, so it is refused, and so is one that has no place in the network."""
    state = load_file(tuned / "unet" / WEIGHTS)
    for change in ({"conv_in.weight": None}, {"stray.weight": torch.zeros(2)}):
        folder = tmp_path / next(iter(change))
        folder.mkdir()
        (folder / "config.json").write_text((tuned / "unet" / "config.json").read_text())
        wrong = {name: tensor for name, tensor in {**state, **change}.items() if tensor is not None}
        save_file(wrong, folder / WEIGHTS, metadata={"format": "pt"})
        with pytest.raises(CorruptError, match="cannot be loaded") as error:
            drawn(base, folder, tmp_path)
        assert next(iter(change)) in error.value.cause


def test_a_unet_whose_training_diverged(base: Path, tuned: Path, tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text((tuned / "unet" / "config.json").read_text())
    state = load_file(tuned / "unet" / WEIGHTS)
    state["conv_in.weight"][0, 0, 0, 0] = float("nan")
    save_file(state, tmp_path / "unet" / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(CorruptError, match="cannot be loaded") as error:
        drawn(base, tmp_path, tmp_path)
    assert error.value.cause == "conv_in.weight holds values that are not finite"


def test_a_pickle_only_where_its_hash_was_recorded(base: Path, tuned: Path, tmp_path: Path) -> None:
    old = write_lora(base, tmp_path / "lora", "processor", "")
    safe = old / "pytorch_lora_weights.safetensors"
    torch.save(load_file(safe), old / "pytorch_lora_weights.bin")
    safe.unlink()
    unet = tmp_path / "unet"
    unet.mkdir()
    (unet / "config.json").write_text((tuned / "unet" / "config.json").read_text())
    torch.save(load_file(tuned / "unet" / WEIGHTS), unet / "diffusion_pytorch_model.bin")
    for file in (old / "pytorch_lora_weights.bin", unet / "diffusion_pytorch_model.bin"):
        with pytest.raises(CorruptError, match="is a pickle"):
            find_adapter(tmp_path, file.parent)
        lock.pin(f"file owner/name {file.name}", file_sha256(file))
        assert same(drawn(base, file.parent, tmp_path), images(tuned))
    with (old / "pytorch_lora_weights.bin").open("ab") as file:
        file.write(b"x")
    with pytest.raises(CorruptError, match="is a pickle"):
        find_adapter(tmp_path, old)


def test_by_name_and_by_hub_id(base: Path, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(MissingError) as error:
        find_adapter(tmp_path, "diffusion-dpo-sd15")
    assert error.value.remedy == "bench fetch --checkpoints diffusion-dpo-sd15"
    (tmp_path / "dpo").mkdir()
    (tmp_path / "dpo" / "unet").symlink_to(tuned / "unet")
    cached(tmp_path / "hub", "mhdang/dpo-sd1.5-text2image-v1", tmp_path / "dpo")
    named, by_id = (find_adapter(tmp_path, name) for name in ("diffusion-dpo-sd15", "mhdang/dpo-sd1.5-text2image-v1"))
    assert (named.label, by_id.label) == ("diffusion-dpo-sd15", "dpo-sd1.5-text2image-v1")
    assert named.hash == by_id.hash == find_adapter(tmp_path, tuned / "unet").hash and named.base == "sd15"
    said: list[str] = []
    check_model([named], str(base), "", said.append)
    assert said == ["diffusion-dpo-sd15: no run of ours made it; it was made from sd15"]
    cached(tmp_path / "hub", "owner/loras", write_lora(base, tmp_path / "loras", "diffusers"))
    file = find_adapter(tmp_path, "owner/loras/pytorch_lora_weights.safetensors")
    assert file.hash == find_adapter(tmp_path, "owner/loras").hash and file.label == "pytorch_lora_weights"
    with pytest.raises(MissingError, match="no run 'owner/nothing'"):
        find_adapter(tmp_path, "owner/nothing")


def test_every_released_checkpoint_is_of_a_known_base() -> None:
    from benchbench.hub.models import aliases
    from benchbench.hub.released import RELEASED

    assert {known.base for known in RELEASED.values()} <= set(aliases())
    assert len({known.repo for known in RELEASED.values()}) == len(RELEASED)


def test_sdxl_in_a_table_with_a_lora_and_a_unet(tmp_path: Path) -> None:
    """In a whole evaluation base, LoRA and UNet differ, and a second one makes nothing."""
    xl = write_tiny_sdxl(tmp_path / "xl")
    whole = merged(xl, tmp_path / "whole", 1.0)
    write_lora(xl, tmp_path / "lora", "diffusers")
    prompts = PromptSet("letters", ("a cat", "a dog"), "made here", "none")
    rows = [str(tmp_path / "lora"), str(whole / "unet")]
    settings = {"store": tmp_path / "store", "images_per_prompt": 1, "device": "cpu", "log": lambda _: None}
    first = evaluate(str(xl), rows, prompts, ["jpeg_compressibility"], **settings)
    assert first.table.rows == ("base", "lora", "unet")
    hashes = {label: frame.image_sha256.tolist() for label, frame in first.frames.items()}
    assert hashes["base"] != hashes["lora"]
    scores = {label: frame.score.to_numpy() for label, frame in first.frames.items()}
    np.testing.assert_allclose(scores["lora"], scores["unet"], atol=0.02)
    again = evaluate(str(xl), rows, prompts, ["jpeg_compressibility"], **settings)
    assert again.table == first.table


def test_what_holds_no_weights(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "UNet2DConditionModel"}))
    (tmp_path / "other.safetensors").write_bytes(b"\xff" * 20)
    assert weights.find(tmp_path) is None and weights.find(tmp_path / "config.json") is None

"""SD 3 in our sampler: texts, sampling, pictures and adapters are those of diffusers' own pipeline."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from huggingface_hub.utils import filter_repo_objects
from torch import Tensor

from benchbench.diffusion import backbones, lora, text
from benchbench.diffusion.network_kind import TRANSFORMER_TARGETS
from benchbench.diffusion.policy import Policy, make_policy
from benchbench.diffusion.rollout import NoiseSource, generate, rollout
from benchbench.errors import CorruptError, UsageError
from benchbench.fetch.files import MODEL_FILES, NOT_NEEDED
from benchbench.hub import families, models
from benchbench.noise import Noise, Sample
from tests.tiny_sd3 import write_tiny_sd3

SAMPLES = [Sample("cat", 0), Sample("a dog", 1, 1)]
PROMPTS = [sample.prompt for sample in SAMPLES]
STEPS, SCALE = 6, 4.5


@pytest.fixture(scope="module")
def tiny_sd3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_sd3(tmp_path_factory.mktemp("sd3") / "model")


@pytest.fixture(scope="module")
def without_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_sd3(tmp_path_factory.mktemp("sd3") / "small", t5=False)


def pipeline(folder: Path) -> Any:
    from diffusers import StableDiffusion3Pipeline

    lacking = {} if (folder / "text_encoder_3").is_dir() else {"text_encoder_3": None, "tokenizer_3": None}
    pipe = StableDiffusion3Pipeline.from_pretrained(folder, **lacking)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def policy_of(folder: Path, dynamics: str = "ode", grid: str = "diffusers", scale: float = SCALE) -> Policy:
    return make_policy(
        backbones.load(str(folder), "cpu"), STEPS, guidance_scale=scale, dynamics=dynamics, noise_level=0.7, grid=grid
    )


@torch.no_grad()
@pytest.mark.parametrize("t5", [True, False])
def test_texts_are_those_of_the_pipeline(t5: bool, tiny_sd3: Path, without_t5: Path) -> None:
    """Text and pooled projection, of the prompts and of the empty one; a model without T5 has zeros in its place."""
    folder = tiny_sd3 if t5 else without_t5
    cond = policy_of(folder).encode(PROMPTS)
    texts, null, pooled, null_pooled = pipeline(folder).encode_prompt(PROMPTS, None, None)
    assert cond.pooled is not None and cond.null_pooled is not None and cond.text.shape == (2, 12 + 256, 32)
    for ours, theirs in (
        (cond.text, texts),
        (cond.null, null[:1]),
        (cond.pooled, pooled),
        (cond.null_pooled, null_pooled[:1]),
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert bool(cond.text[:, 12:].any()) == t5


def test_t5_in_host_memory_says_the_same(tiny_sd3: Path) -> None:
    """For a GPU its weights are copied for each reading; here the device cpu:0 stands for one, and no bit differs."""
    here = backbones.load(str(tiny_sd3), "cpu")
    copied: list[str] = []
    with mock.patch.object(torch.func, "functional_call", wraps=torch.func.functional_call) as call:
        away = text.encode(replace(here, device=torch.device("cpu", 0)), PROMPTS)
        copied += call.call_args.args[1]
    assert {name for name, _ in here.text_encoder_3.named_parameters()} <= set(copied)
    for (ours, pooled), (theirs, theirs_pooled) in zip(away, text.encode(here, PROMPTS), strict=True):
        assert torch.equal(ours, theirs) and torch.equal(pooled, theirs_pooled)  # type: ignore[arg-type]


def test_weights_in_several_files_are_read(tiny_sd3: Path, tmp_path: Path) -> None:
    """T5 is published so, with an index that is no setting of the model."""
    whole = backbones.load(str(tiny_sd3), "cpu").text_encoder_3
    folder = tmp_path / "model"
    folder.mkdir()
    for part in tiny_sd3.iterdir():
        (folder / part.name).symlink_to(part)
    (folder / "text_encoder_3").unlink()
    whole.save_pretrained(folder / "text_encoder_3", max_shard_size="6KB")
    names = {path.name for path in models.weight_files(folder)["text_encoder_3"]}
    assert len(names) > 2 and "config.json" in names and not any(".index." in name for name in names)
    again = backbones.load(str(folder), "cpu").text_encoder_3
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


def test_what_is_fetched_of_sd3() -> None:
    """The files fetched are of full precision, each part once, and no single files for other programs."""
    t5 = [f"text_encoder_3/model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    wanted = ["model_index.json", "transformer/config.json", "transformer/diffusion_pytorch_model.safetensors", *t5]
    wanted += ["text_encoder_3/model.safetensors.index.json", "tokenizer_3/spiece.model", "tokenizer_3/tokenizer.json"]
    wanted += ["text_encoder/model.safetensors", "text_encoder_2/model.safetensors", "scheduler/scheduler_config.json"]
    others = ["sd3.5_medium.safetensors", "text_encoders/t5xxl_fp16.safetensors", "text_encoder/model.fp16.safetensors"]
    others += [
        "text_encoder_3/model.fp16-00001-of-00002.safetensors",
        "text_encoder_3/model.safetensors.index.fp16.json",
    ]
    found = list(filter_repo_objects([*wanted, *others], allow_patterns=MODEL_FILES, ignore_patterns=NOT_NEEDED))
    assert found == wanted


@torch.no_grad()
@pytest.mark.parametrize("grid", ["diffusers", "plain"])
@pytest.mark.parametrize("scale", [1.0, SCALE])
def test_sampling_is_that_of_the_pipeline(grid: str, scale: float, tiny_sd3: Path) -> None:
    """The ODE from the same start ends at the pipeline's latents, and its pictures are decoded alike."""
    policy, pipe = policy_of(tiny_sd3, grid=grid, scale=scale), pipeline(tiny_sd3)
    start = NoiseSource(policy, Noise(0, "eval"), SAMPLES).start()
    asked: dict[str, Any] = {"num_inference_steps": STEPS}
    if grid == "plain":
        asked = {"sigmas": np.linspace(1, 1 / STEPS, STEPS).tolist()}
    theirs = pipe(PROMPTS, guidance_scale=scale, latents=start, output_type="latent", **asked).images
    ours = generate(policy, SAMPLES, Noise(0, "eval"))
    assert float((ours - start).square().mean().sqrt()) > 0.1  # the network moved it
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    pictures = pipe(PROMPTS, guidance_scale=scale, latents=start, output_type="pt", **asked).images
    torch.testing.assert_close(policy.decoder(ours), pictures, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("dynamics", ["flow-sde", "dance-sde", "cps"])
def test_a_rollout_draws_its_noise_and_scores_it(dynamics: str, tiny_sd3: Path) -> None:
    """Every step but the last draws z; evaluated again in one batch of mixed steps, the log-probs are the same."""
    policy = policy_of(tiny_sd3, dynamics)
    cond, draws = policy.encode(PROMPTS), NoiseSource(policy, Noise(0, "train"), SAMPLES)
    states: list[tuple[int, Tensor]] = []
    log_probs: list[Tensor] = []
    walk = rollout(policy, cond, draws.start(), draws.z)
    visit = next(walk)
    while visit.k:
        states.append((visit.k, visit.x))
        x_next = visit.step.draw(draws.z(visit.k))
        if visit.step.stochastic:
            log_probs.append(visit.step.log_prob(x_next))
            z = (x_next - visit.step.mean) / visit.step.std
            torch.testing.assert_close(z, draws.z(visit.k), atol=1e-3, rtol=1e-3)
        else:
            assert visit.k == 1
        visit = walk.send((x_next, None))
    x_nexts = [x for _, x in states[1:]]
    k = torch.tensor([k for k, _ in states[:-1] for _ in SAMPLES])
    again = policy.log_probs(torch.cat([x for _, x in states[:-1]]), torch.cat(x_nexts), k, cond.repeat(len(x_nexts)))
    torch.testing.assert_close(again, torch.cat(log_probs), atol=1e-4, rtol=1e-4)


def test_plain_diffusers_loads_the_adapter(tiny_sd3: Path, tmp_path: Path) -> None:
    """A LoRA on Flow-GRPO's layers, saved: the pipeline with it predicts what the policy with it predicts."""
    policy = policy_of(tiny_sd3, "flow-sde")
    network = policy.backbone.network
    lora.add_lora(network, 2, 4.0, seed=0)
    trained = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    of_first = {name.split(".lora_")[0] for name in trained if name.startswith("transformer_blocks.0.")}
    assert of_first == {f"transformer_blocks.0.{name}" for name in TRANSFORMER_TARGETS}
    generator = torch.Generator().manual_seed(0)
    for name, parameter in network.named_parameters():
        if ".lora_B." in name:
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    lora.save_adapter(network, tmp_path)
    cond, tau = policy.encode(PROMPTS), policy.schedule.tau[[6, 3]]
    x = NoiseSource(policy, Noise(0, "train"), SAMPLES).start()
    with torch.no_grad():
        ours, base = policy.predict(x, tau, cond), policy.reference_predict(x, tau, cond)
        pipe = pipeline(tiny_sd3)
        pipe.load_lora_weights(tmp_path)
        theirs = pipe.transformer(x, cond.text, cond.pooled, tau).sample
        loaded = policy_of(tiny_sd3)
        lora.load_adapter(loaded.backbone.network, tmp_path)
        again = loaded.predict(x, tau, cond)
    assert float((ours - base).abs().max()) > 0.01
    torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=1e-4)
    assert torch.equal(again, ours)


def test_an_adapter_of_a_unet_is_refused(tiny_sd3: Path, tiny_sd: Path, tmp_path: Path) -> None:
    unet = backbones.load(str(tiny_sd), "cpu").network
    lora.add_lora(unet, 2, 2.0, seed=0)
    lora.save_adapter(unet, tmp_path)
    with pytest.raises(CorruptError, match="belongs to another model"):
        lora.load_adapter(backbones.load(str(tiny_sd3), "cpu").network, tmp_path)


def test_its_hash_and_family(tiny_sd3: Path, without_t5: Path) -> None:
    assert models.content_hash(tiny_sd3) != models.content_hash(without_t5)
    assert families.family(str(tiny_sd3)) == "sd3" == families.family("sd35m")
    assert families.is_flow(str(tiny_sd3)) and families.is_flow("sd35m") and families.is_flow("shapes-flow")
    assert not families.is_flow("sd15") and not families.is_flow("shapes")


def test_settings_of_the_other_kind_are_refused(tiny_sd3: Path, tiny_sd: Path) -> None:
    with pytest.raises(UsageError, match="no eta"):
        make_policy(backbones.load(str(tiny_sd3), "cpu"), 4, 1.0, 5.0)
    with pytest.raises(UsageError, match="no dynamics"):
        make_policy(backbones.load(str(tiny_sd), "cpu"), 4, 1.0, 5.0, dynamics="ode")


def test_parts_that_do_not_fit_together_are_told(tiny_sd3: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_tiny_sd3(folder)
    config = folder / "text_encoder_2" / "config.json"
    other = write_tiny_sd3(tmp_path / "other")
    (folder / "text_encoder_2").rename(tmp_path / "unused")
    (other / "text_encoder").rename(folder / "text_encoder_2")
    assert json.loads(config.read_text())["projection_dim"] == 16
    with pytest.raises(UsageError, match="its text encoders give 32 and 32"):
        backbones.load(str(folder), "cpu")

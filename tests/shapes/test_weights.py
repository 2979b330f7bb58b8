"""What is shipped: it loads in plain diffusers, it is what the record says, and it follows prompts."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchbench.runtime.hashing import file_sha256
from benchbench.shapes import MODEL, WEIGHTS, oracle
from benchbench.shapes.captions import simple_prompts
from benchbench.shapes_build.tokenizer import LENGTH


@pytest.fixture(scope="module")
def pipe():  # type: ignore[no-untyped-def]
    from diffusers import StableDiffusionPipeline

    loaded = StableDiffusionPipeline.from_pretrained(MODEL, local_files_only=True)  # every part runs in one precision
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.fixture(scope="module")
def record() -> dict:  # type: ignore[type-arg]
    return json.loads((WEIGHTS / "record.json").read_text())


def test_files_are_those_of_the_record(record) -> None:  # type: ignore[no-untyped-def]
    """Hash by hash; below 17 MB with shapes-flow and the judges of noisy predictions; nothing pickled."""
    assert {name: file_sha256(WEIGHTS / name) for name in record["files"]} == record["files"]
    shipped = [p for p in WEIGHTS.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in shipped) < 17_000_000
    assert {p.suffix for p in shipped} == {".json", ".safetensors", ".png"}
    assert not record["quick"]


def test_schedule_has_the_numbers_of_sd15(pipe) -> None:  # type: ignore[no-untyped-def]
    """With 20 steps the timesteps are 951, 901, ..., 1, and the last step's sigma is .0206, not 0."""
    config = pipe.scheduler.config
    assert (config.beta_start, config.beta_end, config.beta_schedule) == (0.00085, 0.012, "scaled_linear")
    assert (config.steps_offset, config.clip_sample, config.set_alpha_to_one) == (1, False, False)
    pipe.scheduler.set_timesteps(20)
    assert pipe.scheduler.timesteps.tolist() == list(range(951, 0, -50))


def test_shapes_of_the_parts(pipe) -> None:  # type: ignore[no-untyped-def]
    """32x32 pixels are 4x8x8 latents; 4 heads; 20 tokens of width 96; no safety checker."""
    assert (pipe.vae_scale_factor, pipe.unet.config.sample_size, pipe.unet.config.in_channels) == (4, 8, 4)
    assert pipe.tokenizer.model_max_length == LENGTH == pipe.text_encoder.config.max_position_embeddings
    assert pipe.text_encoder.config.eos_token_id == pipe.tokenizer.eos_token_id
    assert pipe.safety_checker is None and pipe.text_encoder.config.hidden_size == 96


def test_latents_have_unit_spread(pipe) -> None:  # type: ignore[no-untyped-def]
    """The scaling factor brings drawings' latents to a standard deviation of 1 within 5 %."""
    from benchbench.shapes.drawing import draw_many

    images = torch.from_numpy(draw_many(100, 21)[1]).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        latents = pipe.vae.encode(images).latent_dist.sample(torch.Generator().manual_seed(0))
    assert (latents * pipe.vae.config.scaling_factor).std().item() == pytest.approx(1.0, abs=0.05)


def test_samples_follow_their_prompts(pipe) -> None:  # type: ignore[no-untyped-def]
    """45 simple prompts: the oracle finds most of what they state, and far more than chance (1/8 and 1/6)."""
    prompts = simple_prompts()
    images = pipe(
        prompts,
        num_inference_steps=20,
        eta=1.0,
        guidance_scale=5.0,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
    ).images
    rates = oracle.agreement((images * 255).round().astype(np.uint8), prompts)
    assert rates["colour"] > 0.7 and rates["shape"] > 0.4


def test_the_readmes_say_how_many_parameters_it_has(pipe) -> None:  # type: ignore[no-untyped-def]
    """3,305,979 of the whole pipeline, 2,414,308 of them the UNet's."""
    parts = [sum(p.numel() for p in part.parameters()) for part in (pipe.unet, pipe.vae, pipe.text_encoder)]
    whole, unet = sum(parts) / 1e6, parts[0] / 1e6
    for name in ("docs/shapes-world.md", "benchbench/shapes/README.md"):
        text = " ".join((Path(__file__).parents[2] / name).read_text(encoding="utf-8").split())
        assert f"{whole:.1f} million parameters (its UNet {unet:.1f})" in text, name

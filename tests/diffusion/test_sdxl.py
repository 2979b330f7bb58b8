"""SDXL: the same conditions and images as diffusers' own pipeline, and the same rollouts as any other model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchbench.api import Cond, StepPairs
from benchbench.diffusion import backbones
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.diffusion_schedule import DiffusionSchedule
from benchbench.diffusion.policy import Policy, make_policy
from benchbench.diffusion.rollout import NoiseSource, generate
from benchbench.diffusion.sample import sample
from benchbench.errors import MissingError, UsageError
from benchbench.hub import models
from benchbench.noise import Noise, Sample
from tests.tiny_xl import write_tiny_sdxl

SAMPLES = [Sample("cat", 0), Sample("a red dog", 0, 1), Sample("cat", 1)]
PROMPTS = [sample.prompt for sample in SAMPLES]


@pytest.fixture(scope="module")
def tiny_xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_sdxl(tmp_path_factory.mktemp("tiny") / "xl")


@pytest.fixture
def policy(tiny_xl: Path) -> Policy:
    return make_policy(backbones.load(str(tiny_xl), "cpu"), 20, 1.0, 5.0)


def pipeline(folder: Path):
    from diffusers import DDIMScheduler, StableDiffusionXLPipeline

    pipe = StableDiffusionXLPipeline.from_pretrained(folder, add_watermarker=False)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False, set_alpha_to_one=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("zeros", [True, False])
def test_conditions_equal_the_pipeline(zeros: bool, tmp_path: Path) -> None:
    """Also the empty prompt's: zeros where model_index.json says so, else the encoding of the empty text."""
    folder = write_tiny_sdxl(tmp_path / "xl", zeros=zeros)
    policy = make_policy(backbones.load(str(folder), "cpu"), 20, 1.0, 5.0)
    text, null, pooled, null_pooled = pipeline(folder).encode_prompt(PROMPTS)
    for _ in range(2):
        cond = policy.encode(PROMPTS)
        torch.testing.assert_close(cond.text, text)
        torch.testing.assert_close(cond.null, null[:1])
        torch.testing.assert_close(cond.pooled, pooled)
        torch.testing.assert_close(cond.null_pooled, null_pooled[:1])
    assert bool((cond.null == 0).all()) == zeros
    assert cond.time_ids is not None and cond.time_ids.tolist() == [[16, 16, 0, 0, 16, 16]] * 3
    # a caption that was dropped is the encoding of the empty text, whatever guidance goes away from
    assert float(policy.encode([""]).text.abs().sum()) > 0


@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_images_equal_the_pipeline(scale: float, tiny_xl: Path) -> None:
    """The same x_T and, with eta near 0, the same latents after 20 steps and the same pixels."""
    small = make_policy(backbones.load(str(tiny_xl), "cpu"), 20, 1e-6, scale)
    start = NoiseSource(small, Noise(0, "eval"), SAMPLES).start()
    pipe = pipeline(tiny_xl)
    words = {"num_inference_steps": 20, "guidance_scale": scale, "eta": 0.0, "latents": start}
    latents = generate(small, SAMPLES, Noise(0, "eval"))
    torch.testing.assert_close(latents, pipe(PROMPTS, output_type="latent", **words).images, atol=2e-3, rtol=1e-3)
    theirs = torch.tensor(pipe(PROMPTS, output_type="np", **words).images).permute(0, 3, 1, 2)
    torch.testing.assert_close(Decoder(small.backbone)(latents), theirs, atol=1e-3, rtol=0)


def test_guidance_by_hand(policy: Policy) -> None:
    """e_null + 5 (e_text - e_null), from two calls of the UNet; and a row is the same alone."""
    cond, tau = policy.encode(PROMPTS), policy.schedule.tau[12]
    x = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))

    def call(text: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        added = {"text_embeds": pooled, "time_ids": cond.time_ids}
        return policy.backbone.network(x, tau, text, added_cond_kwargs=added).sample

    with torch.no_grad():
        text = call(cond.text, cond.pooled)
        null = call(cond.null.expand(3, -1, -1), cond.null_pooled.expand(3, -1))
        torch.testing.assert_close(policy.prediction(x, 12, cond), null + 5 * (text - null), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(
            policy.prediction(x[1:2], 12, cond[1:2]), policy.prediction(x, 12, cond)[1:2], atol=1e-5, rtol=0
        )


def test_conditions_are_cut_repeated_and_joined_by_rows(policy: Policy) -> None:
    cond = policy.encode(PROMPTS)
    twice = cond.repeat(2)
    for name in ("text", "pooled", "time_ids"):
        value = getattr(cond, name)
        assert torch.equal(getattr(twice, name), torch.cat([value, value]))
        assert torch.equal(getattr(cond[1:], name), value[1:])
        assert torch.equal(getattr(Cond.cat([cond[:1], cond[1:]]), name), value)
    assert torch.equal(twice.null_pooled, cond.null_pooled)
    x, k = torch.zeros(3, 4, 8, 8), torch.ones(3, dtype=torch.int64)
    pairs = StepPairs(x, x, x, x, k, cond, torch.ones(3), shared_parent=True)
    again = StepPairs.cat([pairs[:2], pairs[2:]])
    assert torch.equal(again.cond.pooled, cond.pooled) and again.shared_parent and again.x_w is again.x_l


def test_images_do_not_depend_on_the_batch(policy: Policy) -> None:
    whole = sample(policy, SAMPLES, Noise(0, "eval")).astype(int)
    alone = [sample(policy, [one], Noise(0, "eval"))[0].astype(int) for one in SAMPLES]
    assert all(abs(a - b).max() <= 1 for a, b in zip(whole, alone, strict=True))


def test_the_grid_of_sdxl(tiny_xl: Path) -> None:
    """Betas and offset of an Euler config give 951, 901, ..., 1 of 20 steps, as DDIMScheduler.from_config does."""
    config = json.loads((tiny_xl / "scheduler" / "scheduler_config.json").read_text())
    assert config["_class_name"] == "EulerDiscreteScheduler"
    ddim = pipeline(tiny_xl).scheduler
    ddim.set_timesteps(20)
    ours = DiffusionSchedule.from_config(config, 20, 1.0)
    assert ours.tau.flip(0).tolist()[:-1] == ddim.timesteps.tolist()
    torch.testing.assert_close(ours.alpha_bar[1:], ddim.alphas_cumprod[ours.tau[1:]])


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_the_vae_stays_in_fp32_unless_it_is_made_for_less(dtype: str, tiny_xl: Path, tmp_path: Path) -> None:
    own = backbones.load(str(tiny_xl), "cpu", dtype)
    assert own.vae.dtype == torch.float32 and own.network.dtype == backbones.DTYPES[dtype]
    fixed = tmp_path / "fixed"
    own.vae.save_pretrained(fixed)
    config = json.loads((fixed / "config.json").read_text())
    (fixed / "config.json").write_text(json.dumps({**config, "force_upcast": False}))
    other = backbones.load(f"{tiny_xl}+vae={fixed}", "cpu", dtype)
    assert other.vae.dtype == backbones.DTYPES[dtype]
    policy = make_policy(other, 2, 1.0, 5.0)
    assert sample(policy, SAMPLES[:1], Noise(0, "eval")).shape == (1, 16, 16, 3)


def test_another_vae_decodes_and_is_in_the_hash(tiny_xl: Path, tmp_path: Path) -> None:
    write_tiny_sdxl(tmp_path / "other", seed=1)
    named = f"{tiny_xl}+vae={tmp_path / 'other'}"
    mixed, own = backbones.load(named, "cpu"), backbones.load(str(tiny_xl), "cpu")
    theirs = load_file(tmp_path / "other" / "vae" / "diffusion_pytorch_model.safetensors")
    assert torch.equal(mixed.vae.state_dict()["decoder.conv_in.weight"], theirs["decoder.conv_in.weight"])
    assert torch.equal(mixed.network.state_dict()["conv_in.weight"], own.network.state_dict()["conv_in.weight"])
    hashes = {models.model_hash(name) for name in (named, str(tiny_xl), str(tmp_path / "other"))}
    assert len(hashes) == 3 and mixed.hash in hashes and own.hash == models.content_hash(tiny_xl)
    with pytest.raises(MissingError, match="the VAE owner/vae is not on this machine") as error:
        backbones.load(f"{tiny_xl}+vae=owner/vae", "cpu")
    assert "bench fetch --models" in error.value.remedy


def test_the_empty_prompt_is_in_the_hash(tiny_xl: Path, tmp_path: Path) -> None:
    other = write_tiny_sdxl(tmp_path / "xl", zeros=False)
    assert models.content_hash(other) != models.content_hash(tiny_xl)


def test_parts_that_do_not_go_together(tmp_path: Path) -> None:
    """A refiner has five time ids, and a text encoder of another width gives another number of conditions."""
    folder = write_tiny_sdxl(tmp_path / "xl")
    config = folder / "text_encoder_2" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "projection_dim": 10}))
    weights = folder / "text_encoder_2" / "model.safetensors"
    state = load_file(weights)
    state["text_projection.weight"] = state["text_projection.weight"][:10].contiguous()
    save_file(state, weights, metadata={"format": "pt"})
    with pytest.raises(UsageError, match="cannot be run") as error:
        backbones.load(str(folder), "cpu")
    assert "60 added conditions, SDXL gives 58" in error.value.cause
    (folder / "text_encoder_2" / "model.safetensors").unlink()
    with pytest.raises(MissingError, match="no weights of its text_encoder_2"):
        backbones.load(str(folder), "cpu")

"""Edits equal those of diffusers' image-to-image pipelines, and sources are brought to the model's size as stated."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchbench.diffusion import backbones
from benchbench.diffusion.edit import edit, source_latents
from benchbench.diffusion.policy import Policy, make_policy
from benchbench.diffusion.source import open_source
from benchbench.errors import CorruptError
from benchbench.noise import Noise, Sample
from benchbench.prompt_set import Prompt, Source
from benchbench.samplers import steps_taken
from tests.runtime.picture_files import saved, upright
from tests.tiny_sd3 import write_tiny_sd3
from tests.tiny_xl import write_tiny_sdxl

WORDS = ("make it blue", "add a cat")


def source(data: bytes, name: str = "1.png") -> Source:
    return Source(name, "0" * 64, lambda: data)


def pictures(count: int = 2, size: int = 16) -> list[Image.Image]:
    rng = np.random.default_rng(5)
    return [Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)) for _ in range(count)]


def samples_of(images: list[Image.Image]) -> list[Sample]:
    return [Sample(Prompt(WORDS[i], None, source(saved(image))), 0, i) for i, image in enumerate(images)]


@dataclass(frozen=True)
class Scripted(Noise):
    """Noise that is drawn before, by the words of a draw; zeros where a word was not drawn."""

    draws: dict[tuple[Any, ...], torch.Tensor] = field(default_factory=dict)

    def normal(self, samples: Any, *words: Any, shape: tuple[int, ...], device: Any = "cpu") -> torch.Tensor:
        return self.draws.get(tuple(word for word in words if word != ""), torch.zeros(len(samples), *shape))


def scripted(first_k: int, eta: float) -> Scripted:
    """The draws that a pipeline makes with a generator of seed 3: the posterior, the start and then each step's."""
    generator = torch.Generator().manual_seed(3)
    names: list[tuple[Any, ...]] = [("posterior",), ("x_T",)]
    names += [("z", k) for k in range(first_k, 0, -1)] if eta == 1 else []
    return Scripted(0, "test", {name: torch.randn(2, 4, 8, 8, generator=generator) for name in names})


@pytest.mark.parametrize("strength", [0.05, 0.33, 0.75, 1.0])
@pytest.mark.parametrize("eta", [1e-6, 1.0])  # with zeros as noise the first is eta = 0, which trainings cannot have
def test_an_edit_is_that_of_the_pipeline(tiny_sd: Path, strength: float, eta: float) -> None:
    """Images to 1e-4 before rounding, and after it to the last bit but for values on the border."""
    from diffusers import StableDiffusionImg2ImgPipeline

    pipe = StableDiffusionImg2ImgPipeline.from_pretrained(tiny_sd, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    options = {"strength": strength, "num_inference_steps": 20, "guidance_scale": 5.0, "eta": round(eta)}
    made = run(pipe, **options)
    check(tiny_sd, strength, eta, made)


@pytest.mark.slow
@pytest.mark.parametrize("eta", [1e-6, 1.0])
def test_so_is_one_of_sdxl(tmp_path: Path, eta: float) -> None:
    """Under the same DDIM; the pipeline's own default is Euler."""
    from diffusers import DDIMScheduler, StableDiffusionXLImg2ImgPipeline

    folder = write_tiny_sdxl(tmp_path / "xl")
    pipe = StableDiffusionXLImg2ImgPipeline.from_pretrained(folder, add_watermarker=False)
    config = {**pipe.scheduler.config, "clip_sample": False, "set_alpha_to_one": False}
    pipe.scheduler = DDIMScheduler.from_config(config)
    pipe.set_progress_bar_config(disable=True)
    options = {"strength": 0.75, "num_inference_steps": 20, "guidance_scale": 5.0, "eta": round(eta)}
    made = run(pipe, **options)
    check(folder, 0.75, eta, made)


@pytest.mark.parametrize("strength", [0.33, 1.0])
def test_so_is_one_of_sd3(tmp_path: Path, strength: float) -> None:
    """The ODE leaves out int(13.4) of 20 steps at strength 0.33 and takes 7, where a diffusion model takes 6."""
    from diffusers import StableDiffusion3Img2ImgPipeline

    folder = write_tiny_sd3(tmp_path / "sd3")
    pipe = StableDiffusion3Img2ImgPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    made = run(pipe, strength=strength, num_inference_steps=20, guidance_scale=5.0)
    policy = make_policy(backbones.load(str(folder), "cpu"), 20, guidance_scale=5.0, dynamics="ode")
    first_k = steps_taken({"steps": 20, "strength": strength, "dynamics": "ode"})
    assert first_k == (7 if strength == 0.33 else 20)
    compare(policy, first_k, scripted(first_k, 0.0), made)


def run(pipe: Any, **options: Any) -> np.ndarray:
    generator = torch.Generator().manual_seed(3)
    made = pipe(list(WORDS), image=pictures(), generator=generator, output_type="np", **options)
    return np.asarray(made.images)


def check(model: Path, strength: float, eta: float, expected: np.ndarray) -> None:
    policy = make_policy(backbones.load(str(model), "cpu"), 20, eta, 5.0)
    first_k = steps_taken({"steps": 20, "strength": strength})
    compare(policy, first_k, scripted(first_k, eta), expected)


def compare(policy: Policy, first_k: int, noise: Noise, expected: np.ndarray) -> None:
    before_rounding: list[torch.Tensor] = []
    decode = policy.decoder
    policy.__dict__["decoder"] = lambda x: before_rounding.append(decode(x)) or before_rounding[0]
    pixels = edit(policy, first_k, samples_of(pictures()), noise)
    np.testing.assert_allclose(before_rounding[0].permute(0, 2, 3, 1).numpy(), expected, atol=1e-4)
    assert np.abs(pixels.astype(float) - expected * 255).max() <= 0.5 + 255e-4
    assert policy.cost.forwards == 2 * 2 * first_k  # two images, two branches of the guidance


def test_no_step_is_encoding_and_decoding(tiny_sd: Path) -> None:
    """Against the VAE called by hand on the posterior's mode, since the script has no draw for it."""
    policy = make_policy(backbones.load(str(tiny_sd), "cpu"), 20, 1.0, 5.0)
    vae, images = policy.backbone.vae, pictures()
    pixels = torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in images]) / 127.5 - 1
    with torch.no_grad():
        expected = vae.decode(vae.encode(pixels).latent_dist.mode()).sample
        latents = source_latents(policy, samples_of(images), Scripted(0, "test"))
    torch.testing.assert_close(latents, vae.encode(pixels).latent_dist.mode() * vae.config.scaling_factor)
    made = edit(policy, 0, samples_of(images), Scripted(0, "test"))
    rounded = ((expected / 2 + 0.5).clamp(0, 1) * 255).round().permute(0, 2, 3, 1)
    assert np.abs(made - rounded.numpy()).max() <= 1 and policy.cost.forwards == 0


def test_an_edit_depends_on_its_sample_alone(tiny_sd: Path) -> None:
    """Its noise is a function of seed and sample: alone or in company it is the same but for rounding."""
    policy = make_policy(backbones.load(str(tiny_sd), "cpu"), 4, 1.0, 5.0)
    both, noise = samples_of(pictures()), Noise(0, "eval")
    together, alone = edit(policy, 3, both, noise), edit(policy, 3, both[1:], noise)
    assert np.abs(together[1:].astype(int) - alone).max() <= 1
    assert np.abs(together[0].astype(int) - together[1]).max() > 10


@pytest.mark.parametrize(("size", "box"), [((64, 32), (16, 0, 48, 32)), ((20, 47), (0, 13, 20, 33))])
def test_a_source_is_cropped_at_its_centre_and_resized(size: tuple[int, int], box: tuple[int, int, int, int]) -> None:
    """64 x 32: 16 columns are cut off on each side. 20 x 47: 13 rows above and 14 below."""
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    expected = image.crop(box).resize((16, 16), Image.Resampling.LANCZOS)
    assert open_source(source(saved(image)), 16).tobytes() == expected.tobytes()
    same = image.crop(box)
    assert open_source(source(saved(image)), same.width).tobytes() == same.tobytes()


def test_a_source_is_read_by_the_one_reader() -> None:
    """Turned by EXIF, 16 bits and transparency; a damaged one is named."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    turned = np.array(open_source(source(saved(Image.fromarray(pixels), orientation=6)), 16))
    assert (turned == upright(pixels, 6)).all()
    grey = rng.integers(0, 256, (16, 16), dtype=np.uint16)
    deep = np.array(open_source(source(saved(Image.fromarray(grey * 257))), 16))
    assert (deep == grey[..., None]).all()
    clear = Image.fromarray(np.zeros((16, 16, 4), np.uint8))
    assert (np.array(open_source(source(saved(clear)), 16)) == 255).all()
    data = io.BytesIO(saved(Image.fromarray(pixels))).getvalue()
    with pytest.raises(CorruptError, match=r"edits.csv, line 3: 1.png cannot be read"):
        open_source(source(data[:100], "edits.csv, line 3: 1.png"), 16)


def test_edits_of_one_prompt_may_share_their_start(tiny_sd: Path) -> None:
    """At eta = 0 two samples of a picture then differ by the draw from the posterior alone, else by the start, too."""
    policy = make_policy(backbones.load(str(tiny_sd), "cpu"), 4, 1e-6, 5.0)
    prompt = samples_of(pictures(1))[0].prompt
    twice = [Sample(prompt, number, 0) for number in range(2)]
    shared, apart = (edit(policy, 4, twice, Noise(0, "eval"), start).astype(int) for start in (True, False))
    assert np.abs(shared[0] - shared[1]).mean() < 0.5 * np.abs(apart[0] - apart[1]).mean()
    assert (shared[0] == apart[0]).all()

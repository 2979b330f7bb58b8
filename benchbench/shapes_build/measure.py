"""Stage: measures the finished world on the shipped half-precision weights, run in single precision."""

import time
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPModel

from benchbench.shapes import labelled, oracle
from benchbench.shapes.captions import complex_prompts, simple_prompts
from benchbench.shapes.drawing import draw_many
from benchbench.shapes.nets import AestheticNet
from benchbench.shapes_build import clip, pref, taste, tokenizer, vae
from benchbench.shapes_build.stage import Facts, Stage

SAMPLER = {"num_inference_steps": 20, "eta": 1.0, "guidance_scale": 5.0}


def load(model: Path) -> StableDiffusionPipeline:
    """Returns the shipped pipeline in single precision, without a progress bar."""
    pipe = StableDiffusionPipeline.from_pretrained(model, dtype=torch.float32, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def sample(pipe: StableDiffusionPipeline, prompts: list[str], seed: int) -> np.ndarray:
    """Returns a picture a prompt, uint8 [N, 32, 32, 3], sampled with the settings `SAMPLER`."""
    generator = torch.Generator().manual_seed(seed)
    parts = [
        pipe(prompts[i : i + 50], generator=generator, output_type="np", **SAMPLER).images
        for i in range(0, len(prompts), 50)
    ]
    return (np.concatenate(parts) * 255).round().astype(np.uint8)


def oracle_on_drawings(seed: int, count: int = 500) -> dict[str, float]:
    """Returns the oracle's hit rate on fresh drawings by attribute."""
    scenes, images = draw_many(count, seed)
    return oracle.hit_rates(images, scenes)


def grid(images: np.ndarray, columns: int, factor: int = 2) -> Image.Image:
    """Returns the pictures in a grid, each enlarged without smoothing."""
    rows = [np.concatenate(list(images[i : i + columns]), axis=1) for i in range(0, len(images), columns)]
    return Image.fromarray(np.concatenate(rows).repeat(factor, 0).repeat(factor, 1))


@torch.no_grad()
def rewards_on(pictures: np.ndarray, prompts: list[str], ship: Path) -> dict[str, dict[str, float]]:
    """Returns each reward's mean and standard deviation, and its correlation with the quantity that it approximates."""
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    agreement, taste_score = torch.from_numpy(oracle.score(pictures, prompts)), taste.rule(pixels)
    tokens = tokenizer.encode(tokenizer.make(), prompts)
    cosines = {}
    for name in ("clip", "pref"):
        model = CLIPModel.from_pretrained(ship / name, dtype=torch.float32).eval()
        images, texts = clip.embed(model, pixels, tokens)
        cosines[name] = (images * texts).sum(1) * (10 if name == "clip" else model.logit_scale.exp())
    net = AestheticNet()
    net.load_state_dict(load_file(ship / "aesthetic.safetensors"))
    scores = {
        "clip": (cosines["clip"], agreement),
        "pref": (cosines["pref"], pref.AGREEMENT * agreement + pref.TASTE * taste_score),
        "aesthetic": (net.float().eval()(pixels), taste_score),
    }
    return {
        name: {
            "mean": score.mean().item(),
            "sd": score.std().item(),
            "correlation": torch.corrcoef(torch.stack([score, truth]))[0, 1].item(),
        }
        for name, (score, truth) in scores.items()
    }


def run(stage: Stage) -> Facts:
    """Writes samples.png (drawings, their reconstructions, samples) and returns the numbers for the record."""
    count, seed = stage.scale(250, 16), stage.seed
    pipe = load(stage.of("ship") / "model")
    complex_texts = complex_prompts()[:: 500 // count][:count]
    simple_texts = (simple_prompts() * 6)[:count]
    started = time.process_time()
    complex_samples = sample(pipe, complex_texts, seed)
    seconds = time.process_time() - started
    simple_samples = sample(pipe, simple_texts, seed + 1)

    drawings = draw_many(16, seed + 2)[1]
    decoded = vae.reconstruct(pipe.vae, torch.from_numpy(drawings).permute(0, 3, 1, 2).float() / 255)
    reconstructions = (decoded.permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8)
    pictures = np.concatenate([drawings, reconstructions, simple_samples[:48], complex_samples[:48]])
    grid(pictures, 16).save(stage.folder / "samples.png")
    return {
        "oracle_on_500_drawings": oracle_on_drawings(seed + 3),
        "oracle_on_hacked_pictures": labelled.accuracy(),
        "oracle_on_500_reconstructions": vae.check(pipe.vae, seed + 3),
        "oracle_on_samples_complex": {
            "count": len(complex_texts),
            "score": float(oracle.score(complex_samples, complex_texts).mean()),
            **oracle.agreement(complex_samples, complex_texts),
        },
        "oracle_on_samples_simple": {
            "count": len(simple_texts),
            "score": float(oracle.score(simple_samples, simple_texts).mean()),
            **oracle.agreement(simple_samples, simple_texts),
        },
        "rewards_on_samples_complex": rewards_on(complex_samples, complex_texts, stage.of("ship")),
        "seconds_for_64_samples_on_one_thread": round(seconds * 64 / len(complex_texts), 2),
        "sampler": {"name": "DDIM", **SAMPLER},
    }

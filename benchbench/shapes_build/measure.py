"""Stage: what the finished world is like, measured on the shipped half-precision weights (run in single precision)."""

import time
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPModel

from benchbench.shapes import oracle
from benchbench.shapes.captions import complex_prompts, simple_prompts
from benchbench.shapes.drawing import draw_many
from benchbench.shapes.nets import AestheticNet

from . import clip, pref, taste, tokenizer, vae
from .stage import Facts, Stage

SAMPLER = {"num_inference_steps": 20, "eta": 1.0, "guidance_scale": 5.0}


def load(model: Path) -> StableDiffusionPipeline:
    """The shipped pipeline in single precision, silent."""
    pipe = StableDiffusionPipeline.from_pretrained(model, dtype=torch.float32, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def sample(pipe: StableDiffusionPipeline, prompts: list[str], seed: int) -> np.ndarray:
    """One picture a prompt with 20 DDIM steps, eta 1, guidance 5: uint8 [N, 32, 32, 3]."""
    generator = torch.Generator().manual_seed(seed)
    parts = [
        pipe(prompts[i : i + 50], generator=generator, output_type="np", **SAMPLER).images
        for i in range(0, len(prompts), 50)
    ]
    return (np.concatenate(parts) * 255).round().astype(np.uint8)


def oracle_on_drawings(seed: int, count: int = 500) -> dict[str, float]:
    """The oracle's hit rate on fresh drawings, by attribute."""
    scenes, images = draw_many(count, seed)
    return oracle.hit_rates(images, scenes)


def grid(images: np.ndarray, columns: int, factor: int = 2) -> Image.Image:
    """Pictures side by side, each enlarged without smoothing."""
    rows = [np.concatenate(list(images[i : i + columns]), axis=1) for i in range(0, len(images), columns)]
    return Image.fromarray(np.concatenate(rows).repeat(factor, 0).repeat(factor, 1))


@torch.no_grad()
def rewards_on(pictures: np.ndarray, prompts: list[str], ship: Path) -> dict[str, dict[str, float]]:
    """Each reward's mean and spread on pictures, and its correlation with what it stands for."""
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    shown, liked = torch.from_numpy(oracle.score(pictures, prompts)), taste.rule(pixels)
    tokens = tokenizer.encode(tokenizer.make(), prompts)
    cosines = {}
    for name in ("clip", "pref"):
        model = CLIPModel.from_pretrained(ship / name, dtype=torch.float32).eval()
        seen, read = clip.similarity(model, pixels, tokens)
        cosines[name] = (seen * read).sum(1) * (10 if name == "clip" else model.logit_scale.exp())
    net = AestheticNet()
    net.load_state_dict(load_file(ship / "aesthetic.safetensors"))
    scores = {
        "clip": (cosines["clip"], shown),
        "pref": (cosines["pref"], pref.AGREEMENT * shown + pref.TASTE * liked),
        "aesthetic": (net.float().eval()(pixels), liked),
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
    """The numbers for the record; writes samples.png: drawings, their reconstructions, and samples."""
    count, seed = stage.scale(250, 16), stage.seed
    pipe = load(stage.of("ship") / "model")
    hard = complex_prompts()[:: 500 // count][:count]
    easy = (simple_prompts() * 6)[:count]
    started = time.process_time()
    on_hard = sample(pipe, hard, seed)
    seconds = time.process_time() - started
    on_easy = sample(pipe, easy, seed + 1)

    drawn = draw_many(16, seed + 2)[1]
    again = vae.reconstruct(pipe.vae, torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255)
    again_bytes = (again.permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8)
    grid(np.concatenate([drawn, again_bytes, on_easy[:48], on_hard[:48]]), 16).save(stage.folder / "samples.png")
    return {
        "oracle_on_500_drawings": oracle_on_drawings(seed + 3),
        "oracle_on_500_reconstructions": vae.check(pipe.vae, seed + 3),
        "oracle_on_samples_complex": {
            "count": len(hard),
            "score": float(oracle.score(on_hard, hard).mean()),
            **oracle.agreement(on_hard, hard),
        },
        "oracle_on_samples_simple": {
            "count": len(easy),
            "score": float(oracle.score(on_easy, easy).mean()),
            **oracle.agreement(on_easy, easy),
        },
        "rewards_on_samples_complex": rewards_on(on_hard, hard, stage.of("ship")),
        "seconds_for_64_samples_on_one_thread": round(seconds * 64 / len(hard), 2),
        "sampler": {"name": "DDIM", **SAMPLER},
    }

"""The plain evaluation loop: a diffusers pipeline saves images as PNG, which are read and scored one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image


def load_pipeline(folder: Path, device: str, dtype: torch.dtype) -> Any:
    """Returns the pipeline of a model folder with the DDIM sampler."""
    from diffusers import DDIMScheduler, DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(folder, dtype=dtype, local_files_only=True)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def generate(
    pipe: Any, prompts: Sequence[str], out: Path, batch: int, steps: int = 20, guidance_scale: float = 5.0
) -> list[Path]:
    """Writes one PNG a prompt, ``batch`` prompts a call, and returns their paths."""
    out.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator(pipe.device).manual_seed(0)
    paths = []
    for start in range(0, len(prompts), batch):
        images = pipe(
            list(prompts[start : start + batch]),
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            eta=1.0,
            generator=generator,
        ).images
        for i, image in enumerate(images, start):
            paths.append(out / f"{i:05d}.png")
            image.save(paths[-1])
    return paths


def score_loading_each_time(paths: Sequence[Path], prompts: Sequence[str], load: Callable[[], Any]) -> list[float]:
    """Returns scores, loading the reward for every image, as upstream ``score(path, prompt)`` functions do."""
    scores = []
    for path, prompt in zip(paths, prompts, strict=True):
        reward = load()
        scores.append(float(reward.score([Image.open(path)], [prompt])[0]))
    return scores


def score_keeping(paths: Sequence[Path], prompts: Sequence[str], load: Callable[[], Any]) -> list[float]:
    """Returns scores, loading the reward once."""
    reward = load()
    return [float(reward.score([Image.open(p)], [prompt])[0]) for p, prompt in zip(paths, prompts, strict=True)]

"""Stage: measures shapes-flow on its shipped half-precision weights, run in single precision."""

import time

import numpy as np
import torch
from diffusers import StableDiffusion3Pipeline

from benchbench.samplers import FlowSampler
from benchbench.shapes import oracle
from benchbench.shapes.captions import complex_prompts, simple_prompts
from benchbench.shapes_build import flow_model
from benchbench.shapes_build.measure import grid, rewards_on
from benchbench.shapes_build.stage import Facts, Stage

GUIDANCE = FlowSampler().guidance_scale
STEPS = {20: 250, 40: 100, 10: 100}
"""The numbers of steps of the sampler, each with its number of prompts of either kind.

The samples of the first one are shown, and scored by the rewards.
"""


def sample(pipe: StableDiffusion3Pipeline, prompts: list[str], steps: int, seed: int) -> np.ndarray:
    """Returns a picture a prompt, uint8 [N, 32, 32, 3], by Euler's method on the scheduler's own grid."""
    generator = torch.Generator().manual_seed(seed)
    parts = [
        pipe(
            prompts[i : i + 50],
            num_inference_steps=steps,
            guidance_scale=GUIDANCE,
            max_sequence_length=flow_model.BORROWED["max_sequence_length"],
            height=32,
            width=32,
            generator=generator,
            output_type="np",
        ).images
        for i in range(0, len(prompts), 50)
    ]
    return (np.concatenate(parts) * 255).round().astype(np.uint8)


def oracle_on(pictures: np.ndarray, prompts: list[str]) -> Facts:
    """Returns the oracle's mean score and its hit rate by attribute."""
    score = float(oracle.score(pictures, prompts).mean())
    return {"count": len(prompts), "score": score, **oracle.agreement(pictures, prompts)}


def run(stage: Stage) -> Facts:
    """Writes samples.png, 48 samples of simple prompts and 48 of complex ones; returns the numbers for the record."""
    pipe = flow_model.load(stage.of("flow") / "flow" / "model")
    measured: Facts = {}
    sampled: list[dict[str, np.ndarray]] = []
    for steps, number in STEPS.items():
        count = stage.scale(number, 16)
        prompts = {"simple": (simple_prompts() * 6)[:count], "complex": complex_prompts()[:: 500 // count][:count]}
        started = time.process_time()
        pictures = {name: sample(pipe, texts, steps, stage.seed) for name, texts in prompts.items()}
        seconds = time.process_time() - started
        by_kind = {f"oracle_on_samples_{name}": oracle_on(pictures[name], texts) for name, texts in prompts.items()}
        speed = {"seconds_for_64_samples_on_one_thread": round(seconds * 32 / count, 2)}
        measured[f"with_{steps}_steps"] = by_kind | speed
        if not sampled:
            measured["rewards_on_samples_complex"] = rewards_on(
                pictures["complex"], prompts["complex"], stage.of("ship")
            )
        sampled.append(pictures)
    (stage.folder / "flow").mkdir()
    shown = np.concatenate([pictures[:48] for pictures in sampled[0].values()])
    grid(shown, 16).save(stage.folder / "flow" / "samples.png")
    measured["sampler"] = {"name": "Euler", "grid": "diffusers", "shift": flow_model.SHIFT, "guidance_scale": GUIDANCE}
    return measured

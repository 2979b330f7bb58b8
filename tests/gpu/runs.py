"""Sets up training runs on models with random weights, by benchbench's own ``build`` and Trainer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from benchbench.config import RunConfig, load
from benchbench.noise import Noise, Sample
from benchbench.rewards import lookup
from benchbench.train import resolved as resolved_as
from benchbench.train import setup
from benchbench.train.inputs import look_up
from benchbench.train.memory_plan import MemoryPlan
from benchbench.train.run_folder import write_run
from benchbench.train.trainer import Trainer
from tests.gpu import models, rewards
from tests.gpu.context import PartResult, StepContext

ONLINE = ("ddpo", "d3po", "spo", "tailorpo", "tailorpo-g", "diffusion-nft", "draft", "awm")
OFFLINE = ("diffusion-dpo", "dspo", "sft", "diffusion-kto", "mapo")
SAMPLES = 1_000_000  # far more than any step generates, since no step reaches the end of a run
PAIRS = 16
ROWS = {"sd15": 8, "sdxl": 2}


def reward_name(method: str, model: str = "sd15") -> str:
    """Returns the name of the reward to train on: for SPO the model's own scorer, else the aesthetic predictor."""
    return lookup.step_reward(model) if method == "spo" else "aesthetic"


def small_settings(method: str, images: int) -> list[str]:
    """Returns overrides for rollouts of ``images`` images with one optimizer step; online, on five denoising steps."""
    overrides = [f"train.batch={images}", "train.eval_every=0", "train.finetune=lora"]
    if method in OFFLINE:
        return overrides
    if method == "spo":
        return [*overrides, "method.threshold=0", "method.minibatch=1000"]
    if method == "diffusion-nft":
        return [*overrides, f"method.group={images}", f"method.minibatch={images}", "method.timestep_fraction=0.25"]
    if method == "draft":
        return [*overrides, "method.steps=2"]
    if method == "awm":
        return [*overrides, f"method.group={images}", "method.times=2"]
    overrides.append("method.steps=[20, 16, 12, 8, 4]")
    return [*overrides, f"method.minibatch={images}"] if method in {"ddpo", "d3po"} else overrides


def settings(context: StepContext, method: str, *overrides: str, model: str = "sd15", dtype: str = "auto") -> RunConfig:
    """Returns the settings of a run on the model with random weights; an offline method gets pairs of noise."""
    pairs = str(picture_pairs(context, model)) if method in OFFLINE else None
    folder, words = str(models.folder(context, model)), [f"train.dtype={dtype}", *overrides]
    return load(method, folder, reward_name(method, model), "animals", SAMPLES, 0, "released", words, pairs)


def trainer(
    context: StepContext,
    method: str,
    *overrides: str,
    model: str = "sd15",
    dtype: str = "auto",
    messages: list[str] | None = None,
    plans: Callable[..., list[MemoryPlan]] | None = None,
) -> Trainer:
    """Returns a run that is ready for its first rollout; it logs into ``messages``.

    An estimate of memory takes seconds, so ``plans`` stands in for ``plans_in_child``. By default a run takes ROWS rows
    at a time, which fit a card of 80 GB.
    """
    log_lines: list[str] = [] if messages is None else messages
    config = settings(context, method, *overrides, model=model, dtype=dtype)
    device, out = torch.device(context.device), context.fresh(f"{method}-{model}")
    given = plans or (lambda *_: [MemoryPlan(ROWS[model], False)])
    with mock.patch.object(resolved_as, "plans_in_child", given):
        resolved = resolved_as.resolve(config, device)
    with models.without_files(context), rewards.random_weights(context):
        parts = setup.build(config, look_up(config), resolved, device, log_lines.append, context.work / "store")
        write_run(config, resolved, out, {"model": parts.policy.backbone.hash}, context.device)
    return Trainer(config, resolved, parts, out, log_lines.append)


def close(run: Trainer) -> None:
    """Ends the threads that read pairs, and closes the run's files."""
    if run.parts.reader:
        run.parts.reader.close()
    run._close()


def first_batch(run: Trainer, count: int) -> Any:
    """Returns the first batch that the run's method collects from ``count`` samples."""
    prompts = run.parts.prompts.prompts
    samples = [Sample(prompts[i % len(prompts)], i, i % len(prompts)) for i in range(count)]
    with torch.no_grad():
        batch, _ = next(run.collect(run.parts.policy, samples, run.parts.step_reward, run.parts.cfg, Noise(0, "train")))
    return batch


def picture_pairs(context: StepContext, model: str) -> Path:
    """Returns a folder of preference pairs: pictures of noise, as large as the model's images."""
    from benchbench.hub.layout import image_size

    side = image_size(models.folder(context, model))
    folder = context.work / f"pairs-{side}"
    with context.alone():
        if not (folder / "pairs.jsonl").is_file():
            _write_pairs(folder, side)
    return folder


def _write_pairs(folder: Path, side: int) -> None:
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    rows = []
    for i in range(PAIRS):
        row: dict[str, str] = {"caption": "a cat and a dog"}
        for which in ("winner", "loser"):
            row[which] = f"{i}-{which}.jpg"
            Image.fromarray(draw.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(folder / row[which])
        rows.append(json.dumps(row))
    (folder / "pairs.jsonl").write_text("\n".join(rows) + "\n")


def note(result: PartResult, row: dict[str, Any]) -> None:
    """Notes the loss and the gradient's norm of a logged row, and checks that they are finite."""
    import math

    for name in ("loss", "grad_norm"):
        result[name] = float(row[name])
        result.check(f"{name} is not finite", math.isfinite(result[name]))

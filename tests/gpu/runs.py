"""Training runs on a model of random weights, made by benchbench's own ``build`` and run by its own Trainer."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from benchbench.config import load
from benchbench.noise import Noise, Sample
from benchbench.train import resolved as resolved_as
from benchbench.train import setup
from benchbench.train.inputs import look_up
from benchbench.train.memory_plan import MemoryPlan
from benchbench.train.run_folder import write_run
from benchbench.train.trainer import Trainer
from tests.gpu import models, rewards
from tests.gpu.here import Found, Here

ONLINE = ("ddpo", "d3po", "spo", "tailorpo", "tailorpo-g")
OFFLINE = ("diffusion-dpo", "dspo", "sft", "diffusion-kto", "mapo")
SAMPLES = 1_000_000  # far more than any step makes: a run's end is nobody's business here
PAIRS = 16
ROWS = {"sd15": 8, "sdxl": 2}


def judge(method: str) -> str:
    """The reward that a method is trained on here: SPO's own judge, else the aesthetic predictor."""
    return "spm" if method == "spo" else "aesthetic"


def words(method: str, images: int) -> list[str]:
    """One rollout of so many images with one optimiser step, of five denoising steps where the walk is learned from."""
    found = [f"train.batch={images}", "train.eval_every=0", "train.finetune=lora"]
    if method in OFFLINE:
        return found
    if method == "spo":
        return [*found, "method.threshold=0", "method.minibatch=1000"]
    found.append("method.steps=[20, 16, 12, 8, 4]")
    return [*found, f"method.minibatch={images}"] if method in {"ddpo", "d3po"} else found


def trainer(
    here: Here,
    method: str,
    *overrides: str,
    model: str = "sd15",
    dtype: str = "auto",
    said: list[str] | None = None,
    planned: bool = False,
) -> Trainer:
    """A run that is ready for its first rollout; what it says goes into ``said``.

    Counting a run's memory before it begins takes seconds, so that only what is ``planned`` is cut to the device's
    memory; other runs take ROWS rows at a time, which fit a card of 80 GB.
    """
    name, heard = f"{method}-{model}", [] if said is None else said
    pairs = str(picture_pairs(here, model)) if method in OFFLINE else None
    settings = [f"train.dtype={dtype}", *overrides]
    folder = str(models.folder(here, model))
    config = load(method, folder, judge(method), "animals", SAMPLES, 0, "released", settings, pairs)
    device, out = torch.device(here.device), here.fresh(name)
    fixed = mock.patch.object(resolved_as, "plans_apart", lambda *_: [MemoryPlan(ROWS[model], False)])
    with nullcontext() if planned else fixed:
        resolved = resolved_as.resolve(config, device)
    with models.without_files(here), rewards.random_weights(here):
        parts = setup.build(config, look_up(config), resolved, device, heard.append, here.work / "store")
        write_run(config, resolved, out, parts.policy.backbone.hash, here.device)
    return Trainer(config, resolved, parts, out, heard.append)


def close(run: Trainer) -> None:
    """Ends the threads that read pairs, and closes the run's files."""
    if run.parts.reader:
        run.parts.reader.close()
    run._close()


def first_batch(run: Trainer, count: int) -> Any:
    """The first batch that the method collects from ``count`` samples, through the run's own collecting."""
    prompts = run.parts.prompts.prompts
    samples = [Sample(prompts[i % len(prompts)], i, i % len(prompts)) for i in range(count)]
    with torch.no_grad():
        batch, _ = next(run.collect(run.parts.policy, samples, run.parts.reward, run.parts.cfg, Noise(0, "train")))
    return batch


def picture_pairs(here: Here, model: str) -> Path:
    """A folder of preference pairs: pictures of noise, as large as the model's images."""
    import numpy as np
    from PIL import Image

    from benchbench.hub.models import image_size

    side = image_size(models.folder(here, model))
    folder = here.work / f"pairs-{side}"
    index = folder / "pairs.jsonl"
    if index.is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    rows = []
    for i in range(PAIRS):
        row: dict[str, str] = {"caption": "a cat and a dog"}
        for which in ("winner", "loser"):
            row[which] = f"{i}-{which}.jpg"
            Image.fromarray(draw.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(folder / row[which])
        rows.append(json.dumps(row))
    index.write_text("\n".join(rows) + "\n")
    return folder


def note(found: Found, row: dict[str, Any]) -> None:
    """The loss and the gradient's norm of a logged row, which must be finite; the loop itself refuses others."""
    import math

    for name in ("loss", "grad_norm"):
        found[name] = float(row[name])
        found.check(f"{name} is not finite", math.isfinite(found[name]))

"""Step 4: half precision and TF32 against fp32 on the same weights and batches: gradients, first ratio, logits."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchbench.losses import pair_logit
from benchbench.methods._denoising import predict_pairs
from benchbench.noise import Noise
from benchbench.runtime.precision import exact_fp32
from benchbench.train.trainer import Trainer
from tests.gpu import models, runs
from tests.gpu.here import Found, Here

METHODS = ("ddpo", "diffusion-dpo", "tailorpo")
IMAGES, ROWS, PAIRS = 2, 8, 16
COSINE = 0.99
BETA = 2500.0  # half of the released 5000
SPREAD = 3.4  # standard deviation that the logits are brought to: that of a short training on shapes
TRIES = 12  # fp16's loss scale is halved after an overflow, and the step is tried again


def run(here: Here) -> None:
    """A part for each method and precision; fp32, which is first, is what the others are compared with."""
    precisions = ("fp32", "bf16", "fp16", "tf32") if here.cuda else ("fp32", "bf16", "fp16")
    known: dict[str, Any] = {}
    for dtype in precisions:
        for method in METHODS:
            with here.part(f"{method}, {dtype}") as found:
                exact_fp32()  # PyTorch's own default for convolutions is TF32
                pairs = [f"train.batch={2 * PAIRS}"] if method == "diffusion-dpo" else []
                made = runs.trainer(here, method, *runs.words(method, IMAGES), *pairs, dtype=dtype)
                try:
                    one(made, method, known, found)
                    if dtype != "bf16":  # whose rounding is reported, and is the reason for other defaults
                        found.check(f"the gradient's cosine with fp32 is below {COSINE}", found["cosine"] >= COSINE)
                finally:
                    runs.close(made)


def one(made: Trainer, method: str, known: dict[str, Any], found: Found) -> None:
    """The gradient's cosine; of DDPO the first ratio; of Diffusion-DPO the logits."""
    first = f"{method} batch" not in known
    if method == "ddpo" or first:
        batch = runs.first_batch(made, PAIRS if method == "diffusion-dpo" else IMAGES)
        if method == "ddpo":
            found.update(first_ratio(made, batch))
        known.setdefault(f"{method} batch", batch)
    batch = cast(known[f"{method} batch"], made)
    unet = made.parts.policy.backbone.network
    if method == "diffusion-dpo":
        compare_logits(made, batch, known, found, first)
    models.move_adapter(unet, 0.002)
    gradient = gradient_of(made, with_own_log_prob(made, batch[:ROWS]))
    if first:
        known[f"{method} gradient"] = gradient
    cosine = torch.nn.functional.cosine_similarity(gradient, known[f"{method} gradient"], dim=0)
    found["cosine"], found["zeros"] = float(cosine), float((gradient == 0).float().mean())


def cast(batch: Any, made: Trainer) -> Any:
    """The batch with its text in this network's precision."""
    dtype = next(made.parts.policy.backbone.network.parameters()).dtype
    rows = {name: value for name, value in vars(batch.cond).items() if isinstance(value, Tensor)}
    return replace(batch, cond=replace(batch.cond, **{name: value.to(dtype) for name, value in rows.items()}))


def first_ratio(made: Trainer, batch: Any) -> dict[str, float]:
    """|log rho| before any update, between the rollout and the batch shape of the update, against DDPO's clip."""
    with torch.no_grad():
        rows = batch[: made.micro_batch]
        ratio = made.parts.policy.step(rows.x, rows.k, rows.cond).log_prob(rows.x_next) - rows.log_prob
    worst = int(ratio.abs().argmax())
    size = float(ratio.abs().max())
    clip: float = made.parts.cfg.clip  # type: ignore[attr-defined]
    rms = float(ratio.square().mean().sqrt())
    return {"first_log_ratio": size, "at_k": int(rows.k[worst]), "rms": rms, "of_the_clip": size / clip}


def compare_logits(made: Trainer, batch: Any, known: dict[str, Any], found: Found, first: bool) -> None:
    """The error of z at beta 5000 with an adapter that brings fp32's z to the spread of a young training."""
    unet = made.parts.policy.backbone.network
    if first:
        models.move_adapter(unet, 0.002)
        known["size"] = 0.002 * SPREAD / max(float(logits(made, batch).std()), 1e-9)
    models.move_adapter(unet, known["size"])
    z = logits(made, batch)
    known.setdefault("logits", z)
    error = float((z - known["logits"]).square().mean().sqrt())
    found["logit_error"], found["logit_sd"] = error, float(known["logits"].std())
    found["wrong_signs"] = int(((z > 0) != (known["logits"] > 0)).sum())
    found.check("a logit is not finite", math.isfinite(error))


@torch.no_grad()
def logits(made: Trainer, batch: Any) -> Tensor:
    """z of Diffusion-DPO, [N]."""
    parts = [predict_pairs(made.parts.policy, batch[i : i + 4], Noise(0, "train"), True) for i in range(0, PAIRS, 4)]
    return torch.cat([pair_logit(*part.m, *part.q, BETA) for part in parts])


@torch.no_grad()
def with_own_log_prob(made: Trainer, batch: Any) -> Any:
    """DDPO's batch with log-probs of this precision in the update's shape, so that no ratio lies beyond the clip."""
    if not hasattr(batch, "log_prob"):
        return batch
    step = made.parts.policy.step(batch.x, batch.k, batch.cond)
    return replace(batch, log_prob=step.log_prob(batch.x_next))


def gradient_of(made: Trainer, batch: Any) -> Tensor:
    """All gradients in a row as the optimiser is given them: unscaled and clipped, float32 on the CPU."""
    taken: list[Tensor] = []

    def step(*_: Any, **__: Any) -> None:
        taken.append(torch.cat([p.grad.float().flatten() for p in made.parts.parameters if p.grad is not None]).cpu())

    with mock.patch.object(made.parts.optimizer, "step", step):
        for _ in range(TRIES):
            made._learn(batch)
            if taken:
                return taken[0]
    raise ArithmeticError(f"the gradient overflowed {TRIES} times in a row")

"""Step 4: compares half precision and TF32 with fp32 on the same weights and batches: gradients, ratios, logits."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchbench.api import predict_pairs
from benchbench.losses import pair_logit
from benchbench.noise import Noise
from benchbench.runtime.precision import exact_fp32
from benchbench.train.trainer import Trainer
from tests.gpu import models, runs
from tests.gpu.context import PartResult, StepContext

METHODS = ("ddpo", "diffusion-dpo", "tailorpo")
IMAGES, ROWS, PAIRS = 2, 8, 16
COSINE = 0.99
BETA = 2500.0  # half of the released 5000
SPREAD = 3.4  # standard deviation that the logits are scaled to, as after a short training on shapes
TRIES = 12  # fp16's loss scale is halved after an overflow, and the step is tried again


def run(context: StepContext) -> None:
    """Runs a part for each method and precision; fp32 comes first, and the others are compared with it."""
    precisions = ("fp32", "bf16", "fp16", "tf32") if context.cuda else ("fp32", "bf16", "fp16")
    references: dict[str, Any] = {}
    for dtype in precisions:
        for method in METHODS:
            with context.part(f"{method}, {dtype}") as result:
                exact_fp32()  # PyTorch's own default for convolutions is TF32
                pairs = [f"train.batch={2 * PAIRS}"] if method == "diffusion-dpo" else []
                trainer = runs.trainer(context, method, *runs.small_settings(method, IMAGES), *pairs, dtype=dtype)
                try:
                    compare_with_fp32(trainer, method, references, result)
                    if dtype != "bf16":  # bf16 rounds more, which is why it is not the default; it is only reported
                        result.check(f"the gradient's cosine with fp32 is below {COSINE}", result["cosine"] >= COSINE)
                finally:
                    runs.close(trainer)


def compare_with_fp32(trainer: Trainer, method: str, references: dict[str, Any], result: PartResult) -> None:
    """Notes the gradient's cosine with fp32, the first ratio of DDPO, and the logits of Diffusion-DPO."""
    first = f"{method} batch" not in references
    if method == "ddpo" or first:
        batch = runs.first_batch(trainer, PAIRS if method == "diffusion-dpo" else IMAGES)
        if method == "ddpo":
            result.update(first_ratio(trainer, batch))
        references.setdefault(f"{method} batch", batch)
    batch = cast(references[f"{method} batch"], trainer)
    unet = trainer.parts.policy.backbone.network
    if method == "diffusion-dpo":
        compare_logits(trainer, batch, references, result, first)
    models.move_adapter(unet, 0.002)
    gradient = gradient_of(trainer, with_own_log_prob(trainer, batch[:ROWS]))
    if first:
        references[f"{method} gradient"] = gradient
    cosine = torch.nn.functional.cosine_similarity(gradient, references[f"{method} gradient"], dim=0)
    result["cosine"], result["zeros"] = float(cosine), float((gradient == 0).float().mean())


def cast(batch: Any, trainer: Trainer) -> Any:
    """Returns the batch with its text embeddings in the network's precision."""
    dtype = next(trainer.parts.policy.backbone.network.parameters()).dtype
    rows = {name: value for name, value in vars(batch.cond).items() if isinstance(value, Tensor)}
    return replace(batch, cond=replace(batch.cond, **{name: value.to(dtype) for name, value in rows.items()}))


def first_ratio(trainer: Trainer, batch: Any) -> dict[str, float]:
    """Returns |log rho| between the batch shapes of rollout and update before any update, and its share of the clip."""
    with torch.no_grad():
        rows = batch[: trainer.micro_batch]
        ratio = trainer.parts.policy.step(rows.x, rows.k, rows.cond).log_prob(rows.x_next) - rows.log_prob
    worst = int(ratio.abs().argmax())
    size = float(ratio.abs().max())
    clip: float = trainer.parts.cfg.clip  # type: ignore[attr-defined]
    rms = float(ratio.square().mean().sqrt())
    return {"first_log_ratio": size, "at_k": int(rows.k[worst]), "rms": rms, "of_the_clip": size / clip}


def compare_logits(trainer: Trainer, batch: Any, references: dict[str, Any], result: PartResult, first: bool) -> None:
    """Notes the error of z at beta 5000, with an adapter that gives fp32's z the standard deviation ``SPREAD``."""
    unet = trainer.parts.policy.backbone.network
    if first:
        models.move_adapter(unet, 0.002)
        references["size"] = 0.002 * SPREAD / max(float(logits(trainer, batch).std()), 1e-9)
    models.move_adapter(unet, references["size"])
    z = logits(trainer, batch)
    references.setdefault("logits", z)
    error = float((z - references["logits"]).square().mean().sqrt())
    result["logit_error"], result["logit_sd"] = error, float(references["logits"].std())
    result["wrong_signs"] = int(((z > 0) != (references["logits"] > 0)).sum())
    result.check("a logit is not finite", math.isfinite(error))


@torch.no_grad()
def logits(trainer: Trainer, batch: Any) -> Tensor:
    """Returns Diffusion-DPO's logits z, [N]."""
    parts = [predict_pairs(trainer.parts.policy, batch[i : i + 4], Noise(0, "train"), True) for i in range(0, PAIRS, 4)]
    return torch.cat([pair_logit(*part.m, *part.q, BETA) for part in parts])


@torch.no_grad()
def with_own_log_prob(trainer: Trainer, batch: Any) -> Any:
    """Returns a batch of DDPO with log-probs of this precision and batch shape, so that no ratio is clipped."""
    if not hasattr(batch, "log_prob"):
        return batch
    step = trainer.parts.policy.step(batch.x, batch.k, batch.cond)
    return replace(batch, log_prob=step.log_prob(batch.x_next))


def gradient_of(trainer: Trainer, batch: Any) -> Tensor:
    """Returns all gradients as the optimizer gets them, unscaled and clipped, as one float32 vector on the CPU."""
    gradients: list[Tensor] = []

    def step(*_: Any, **__: Any) -> None:
        gradients.append(
            torch.cat([p.grad.float().flatten() for p in trainer.parts.parameters if p.grad is not None]).cpu()
        )

    with mock.patch.object(trainer.parts.optimizer, "step", step):
        for _ in range(TRIES):
            trainer._learn(batch)
            if gradients:
                return gradients[0]
    raise ArithmeticError(f"the gradient overflowed {TRIES} times in a row")

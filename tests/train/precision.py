"""Computes a method's batch on the shapes model and its gradient in a precision, for the tests of fp16."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchbench import prompts
from benchbench.api import Batch, ImagePairs, Images, OfflineMethod, Transitions
from benchbench.config import RunConfig, load
from benchbench.diffusion import backbones
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.finetuned import make_trainable
from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.lora import add_lora
from benchbench.diffusion.policy import Policy, make_policy
from benchbench.noise import Noise, Sample
from benchbench.rewards import lookup
from benchbench.train.loss_scale import LossScale

D = 256  # latent dimensions of the shapes model; SD 1.5 has 16,384, SDXL 65,536
ROWS = 16  # rows of one forward
NOISE = Noise(0, "train")
OVERRIDES = {
    "ddpo": ["method.minibatch=8"],
    "d3po": ["method.minibatch=4"],
    "spo": ["method.minibatch=16", "method.threshold=0.01"],
}


def config(method: str, *overrides: str) -> RunConfig:
    return load(
        method, "shapes", "shapes-colour", "shapes-simple", 6144, 0, "shapes", [*OVERRIDES.get(method, []), *overrides]
    )


def policy(dtype: str, full: bool = False) -> Policy:
    """Returns the base model with a fresh adapter, or with all weights trainable."""
    result = make_policy(backbones.load("shapes", "cpu", dtype, "fp32" if full else None), 20, 1.0, 5.0)
    if full:
        make_trainable(result)
    else:
        add_lora(result.backbone.network, 4, 4.0, 0)
    return result


def batch(run: RunConfig, policy: Policy, count: int = 4) -> tuple[Any, Batch]:
    """Returns the method and its first batch, from a rollout of ``count`` samples or from as many random latents."""
    method, cfg = run.method_class(), run.method_config
    texts = prompts.load(run.prompts).prompts[:count]
    samples = [Sample(text, i, i) for i, text in enumerate(texts)]
    with torch.no_grad():
        if not isinstance(method, OfflineMethod):
            reward_name = "shapes-spm" if run.method == "spo" else run.reward
            reward = StepReward(Decoder(policy.backbone), lookup.get(reward_name)("cpu"), policy)
            return method, next(method.collect(policy, samples, reward, cfg, NOISE))[0]
        draw = torch.Generator().manual_seed(5)
        x_w, x_l = (torch.randn(count, 4, 8, 8, generator=draw) for _ in range(2))
        cond, numbers = policy.encode(list(texts)), torch.arange(count)
        rows: Batch = ImagePairs(x_w, x_l, cond, numbers)
        if method.winners(cfg) is not None:
            label = torch.tensor([1.0, -1.0]).repeat(count // 2)
            rows = Images(x_w, cond, numbers, label)
        return method, method.prepare(policy, rows, cfg, NOISE)[0]


def as_seen_by(policy: Policy, rows: Any) -> Any:
    """Returns the rows with text embeddings and log-probs in the policy's own precision."""
    dtype = next(policy.backbone.text_encoder.parameters()).dtype
    cond = replace(rows.cond, text=rows.cond.text.to(dtype), null=rows.cond.null.to(dtype))
    rows = replace(rows, cond=cond)
    if isinstance(rows, Transitions):
        policy.rows_at_once = ROWS
        rows = replace(rows, log_prob=policy.log_probs(rows.x, rows.x_next, rows.k, rows.cond))
    return rows


def gradient(policy: Policy, method: Any, rows: Any, cfg: Any, factor: float, scale: LossScale) -> Tensor:
    """Returns all gradients of the mean loss times ``factor``, unscaled, float64; an overflow halves the scale."""
    parameters = policy.parameters()
    while True:
        for parameter in parameters:
            parameter.grad = None
        for i in range(0, len(rows), ROWS):
            part = rows[i : i + ROWS]
            loss, _ = method.loss(policy, part, cfg, NOISE)
            scale(loss * (factor * len(part) / len(rows))).backward()
        scale.unscale(parameters)
        result = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]).double()
        if scale.accept(bool(torch.isfinite(result).all()), "in a test"):
            return result

"""Makes a run's optimizer and computes its learning rate."""

from __future__ import annotations

import torch

from benchbench.config import TrainConfig


def make_optimizer(train: TrainConfig, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """Returns AdamW, or Adafactor as DiffusionDPO's code uses it: fixed rate, no first moment, update RMS at most 1."""
    if train.optimizer == "adamw":
        return torch.optim.AdamW(
            parameters,
            lr=train.lr,
            weight_decay=train.weight_decay,
            betas=train.betas,
            eps=train.eps,
            fused=parameters[
                0
            ].is_cuda,  # one kernel in place of a dozen; a CPU keeps the usual one, whose rounding differs
        )
    from transformers.optimization import Adafactor

    adafactor: torch.optim.Optimizer = Adafactor(
        parameters,
        lr=train.lr,
        weight_decay=train.weight_decay,
        clip_threshold=1.0,
        scale_parameter=False,
        relative_step=False,
    )
    return adafactor


def rate(train: TrainConfig, updates: int) -> float:
    """Returns the learning rate of the optimizer step that follows ``updates`` steps; linear in the warm-up."""
    return train.lr * min(1.0, (updates + 1) / train.warmup) if train.warmup else train.lr

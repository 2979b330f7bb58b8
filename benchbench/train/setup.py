"""From settings to objects: loads what a run needs and puts it together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchbench.api import Method, MethodConfig, OfflineMethod, PairsConfig
from benchbench.config import RunConfig, TrainConfig
from benchbench.diffusion import backbones
from benchbench.diffusion.compile import recompute_activations, speed_up
from benchbench.diffusion.finetuned import train_all
from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.lora import add_lora
from benchbench.diffusion.policy import Policy, make_policy
from benchbench.evaluate.make_pairs import find_or_make
from benchbench.pairs.open import PairSet, open_pairs
from benchbench.prompts.words import too_long
from benchbench.store import root
from benchbench.train.inputs import Inputs
from benchbench.train.pair_batches import Reader
from benchbench.train.resolved import Resolved
from benchbench.types import PromptSet

Log = Callable[[str], None]


@dataclass
class Parts:
    """A training run in memory."""

    method: Method[Any]
    cfg: MethodConfig
    policy: Policy
    reward: StepReward
    prompts: PromptSet
    parameters: list[torch.nn.Parameter]
    optimizer: torch.optim.Optimizer
    reader: Reader | None = None
    """What an offline method's batches come from."""


def build(
    config: RunConfig,
    inputs: Inputs,
    resolved: Resolved,
    device: torch.device,
    log: Log,
    store: Path | None = None,
    skip_bad: bool = True,
) -> Parts:
    """Loads the model and the reward, opens the pairs, adds the adapter or frees every weight, makes the optimiser."""
    cfg, prompts = inputs.cfg, inputs.prompts
    pairs = _open_pairs(inputs, store or root(None), device, log, skip_bad)
    full = config.train.finetune == "full"
    backbone = backbones.load(inputs.model, device, resolved.dtype, "fp32" if full else None)
    for line in too_long(prompts, backbone.tokenizer):
        log(line)
    sampler, train = config.sampler, config.train
    policy = make_policy(backbone, sampler.steps, sampler.eta, sampler.guidance_scale)
    if full:
        train_all(policy)
    else:
        add_lora(backbone.network, train.lora_rank, train.lora_alpha, config.seed)
    if resolved.gradient_checkpointing:
        recompute_activations(backbone)
    networks = [backbone.network, backbone.vae, *([policy.reference] if policy.reference is not None else [])]
    speed_up(networks, train.compile, train.channels_last)
    parameters = policy.parameters()
    judge = StepReward(policy.decoder, inputs.reward(backbone.device), policy, resolved.reward_dtype)
    policy.denoising.size, judge.guiding.size = resolved.walk_rows, resolved.guidance_rows
    if resolved.decode_rows:
        policy.decoder.fits.size = judge.scoring.size = resolved.decode_rows
    made, reader = inputs.method(), None
    if pairs is not None and isinstance(made, OfflineMethod) and isinstance(cfg, PairsConfig):
        reader = Reader(made, cfg, pairs, config.seed, backbone)
    return Parts(made, cfg, policy, judge, prompts, parameters, make_optimizer(train, parameters), reader)


def _open_pairs(inputs: Inputs, store: Path, device: torch.device, log: Log, skip_bad: bool) -> PairSet | None:
    """What an offline method learns from, made where that was asked for and it is not in the store."""
    if inputs.pairs is None:
        return None
    assert isinstance(inputs.cfg, PairsConfig)
    found = find_or_make(inputs.pairs, store, model=inputs.model, device=str(device), log=log)
    return open_pairs(found, nodup=inputs.cfg.nodup, skip_bad=skip_bad)


def make_optimizer(train: TrainConfig, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """AdamW, or Adafactor as DiffusionDPO's code uses it: a given rate, no first moment, updates clipped at RMS 1."""
    if train.optimizer == "adamw":
        return torch.optim.AdamW(
            parameters,
            lr=train.lr,
            weight_decay=train.weight_decay,
            betas=train.betas,
            eps=train.eps,
            fused=parameters[0].is_cuda,  # one kernel in place of a dozen; on a CPU it would round otherwise
        )
    from transformers.optimization import Adafactor

    made: torch.optim.Optimizer = Adafactor(
        parameters,
        lr=train.lr,
        weight_decay=train.weight_decay,
        clip_threshold=1.0,
        scale_parameter=False,
        relative_step=False,
    )
    return made


def rate(train: TrainConfig, updates: int) -> float:
    """The learning rate of the optimiser step after ``updates`` others: a function of the count, so that it resumes."""
    return train.lr * min(1.0, (updates + 1) / train.warmup) if train.warmup else train.lr

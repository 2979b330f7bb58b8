"""Builds the objects of a run from its settings: loads model and reward, opens the pairs, adds the adapter."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchbench import reward_calls
from benchbench.api import Method, MethodConfig, OfflineMethod, PairsConfig
from benchbench.config import RunConfig
from benchbench.diffusion import backbones
from benchbench.diffusion.compile import speed_up
from benchbench.diffusion.finetuned import make_trainable
from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.lora import add_lora
from benchbench.diffusion.policy import Policy, make_policy
from benchbench.diffusion.weight_copy import WeightCopy
from benchbench.evaluate.make_pairs import find_or_make
from benchbench.pairs.open import PairSet, open_pairs, require_usable
from benchbench.prompts.words import too_long
from benchbench.runtime.files import Log
from benchbench.runtime.memory import recompute_activations
from benchbench.store import root
from benchbench.train import method_calls
from benchbench.train.inputs import Inputs
from benchbench.train.optimizer import make_optimizer
from benchbench.train.pair_batches import Reader
from benchbench.train.resolved import Resolved
from benchbench.types import PromptSet


@dataclass
class Parts:
    """The objects of a training run."""

    method: Method[Any]
    cfg: MethodConfig
    policy: Policy
    step_reward: StepReward
    prompts: PromptSet
    parameters: list[torch.nn.Parameter]
    optimizer: torch.optim.Optimizer
    reader: Reader | None = None
    """The source of an offline method's batches; None for an online method."""
    identity: dict[str, str] = field(default_factory=dict)
    """The hashes and versions of the run's inputs, by part (``train.identity``); empty where nothing is compared."""
    average: WeightCopy | None = None
    """The running average of the trained weights; None without ``train.ema``."""

    @property
    def copies(self) -> dict[str, WeightCopy]:
        """The further sets of the trained weights that the run keeps, by the names of their files in a checkpoint."""
        named = {"average": self.average, "old": self.policy.old_weights}
        return {name: copy for name, copy in named.items() if copy}

    @property
    def weights(self) -> list[torch.Tensor]:
        """The trained weights and all further sets of them, which are the same in every process."""
        return [*self.parameters, *(value for copy in self.copies.values() for value in copy.values)]


def build(
    config: RunConfig,
    inputs: Inputs,
    resolved: Resolved,
    device: torch.device,
    log: Log,
    store: Path | None = None,
    skip_bad: bool = True,
) -> Parts:
    """Loads model and reward, opens the pairs and adds the adapter, or makes all weights trainable; returns the Parts.

    ``store`` is where pairs of a base model are looked for, and made; the default store where it is None.
    """
    cfg, prompts = inputs.cfg, inputs.prompts
    pairs = _open_pairs(inputs, store or root(None), device, log, skip_bad)
    full = config.train.finetune == "full"
    backbone = backbones.load(inputs.model, device, resolved.dtype, "fp32" if full else None)
    for line in too_long(prompts, backbone.tokenizer):
        log(line)
    sampler, train = config.sampler, config.train
    policy = make_policy(backbone, **sampler.making)
    if sampler.evaluation != sampler:
        policy.evaluation_schedule = make_policy(backbone, **sampler.evaluation.making).schedule
    if full:
        make_trainable(policy)
    else:
        add_lora(backbone.network, train.lora_rank, train.lora_alpha, config.seed)
    if resolved.gradient_checkpointing:
        recompute_activations(backbone.network, backbone.vae)
    networks = [backbone.network, backbone.vae, *([policy.reference] if policy.reference is not None else [])]
    speed_up(networks, train.compile, train.channels_last)
    parameters = policy.parameters()
    if "old" in inputs.method.needs(cfg):
        policy.keep_old()
    average = WeightCopy(parameters) if train.ema else None
    reward = reward_calls.load(inputs.reward_class, backbone.device)
    for line in reward.prompt_warnings(prompts.prompts):
        log(line)
    step_reward = StepReward(policy.decoder, reward, policy, resolved.reward_dtype)
    policy.denoising.size, step_reward.guiding.size = resolved.walk_rows, resolved.guidance_rows
    if resolved.decode_rows:
        policy.decoder.splitter.size = step_reward.scoring.size = resolved.decode_rows
    method, reader = method_calls.create(inputs.method), None
    if pairs is not None and isinstance(method, OfflineMethod) and isinstance(cfg, PairsConfig):
        reader = Reader(method, cfg, pairs, config.seed, backbone, log)
    optimizer = make_optimizer(train, parameters)
    return Parts(method, cfg, policy, step_reward, prompts, parameters, optimizer, reader, average=average)


def _open_pairs(inputs: Inputs, store: Path, device: torch.device, log: Log, skip_bad: bool) -> PairSet | None:
    """Opens an offline method's pairs, after making those that are to be made; returns None for an online method."""
    if inputs.pairs is None:
        return None
    assert isinstance(inputs.cfg, PairsConfig)
    reference = find_or_make(inputs.pairs, store, model=inputs.model, device=str(device), log=log)
    pairs = open_pairs(reference, nodup=inputs.cfg.nodup, skip_bad=skip_bad)
    require_usable(pairs)
    return pairs

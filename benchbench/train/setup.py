"""From settings to objects: everything that can be refused is refused before a weight is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchbench import prompts as prompt_sets
from benchbench.api import Method, MethodConfig, OfflineMethod, PairsConfig
from benchbench.config import RunConfig, TrainConfig
from benchbench.diffusion import backbones
from benchbench.diffusion.compile import recompute_activations, speed_up
from benchbench.diffusion.finetuned import train_all
from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.lora import add_lora
from benchbench.diffusion.policy import Policy, make_policy
from benchbench.errors import UsageError
from benchbench.evaluate.make_pairs import check_reference, find_or_make
from benchbench.hub import models
from benchbench.pairs.open import open_pairs
from benchbench.prompts.words import check_vocabulary, too_long
from benchbench.rewards import lookup
from benchbench.runtime.hashing import digest
from benchbench.runtime.json_files import find_list, read_object, write_json
from benchbench.runtime.provenance import record
from benchbench.store import root
from benchbench.train.pair_batches import Reader
from benchbench.train.resolved import Resolved
from benchbench.types import PromptSet, Reward, StepScorer

Say = Callable[[str], None]


@dataclass
class Parts:
    """A training run in memory."""

    method: Method
    cfg: MethodConfig
    policy: Policy
    reward: StepReward
    prompts: PromptSet
    parameters: list[torch.nn.Parameter]
    optimizer: torch.optim.Optimizer
    reader: Reader | None = None
    """What an offline method's batches come from."""


def check(config: RunConfig) -> tuple[type[Method], type[Reward], PromptSet]:
    """Everything that needs no weights. Errors: UsageError, MissingError."""
    method, reward = config.method_class, lookup.get(config.reward)
    cfg = config.method_config
    if not reward.trainable:
        raise UsageError(
            f"{config.reward} is a gold reward and is never trained on",
            "it is what reward hacking is measured against",
            "train on another reward: bench list rewards",
        )
    if "reward_gradient" in method.needs(cfg) and not reward.differentiable:
        raise UsageError(
            f"{config.method} needs a differentiable reward, and {config.reward} is not",
            "its guidance follows the gradient of the reward",
            "use tailorpo, which only ranks, or a differentiable reward: bench list rewards",
        )
    if "step_scorer" in method.needs(cfg) and not issubclass(reward, StepScorer):
        raise UsageError(
            f"{config.method} needs a step-aware reward, and {config.reward} is not",
            "its judge is told the timestep of the sample that it looks at",
            "use --reward spm, or judge predictions by a plain reward: --set method.step_aware=false",
        )
    per = method.images(cfg)
    if config.samples % per:
        raise UsageError(
            f"--samples {config.samples} cannot be made by {config.method}",
            f"it makes {per} images at a time",
            f"use --samples {-(-config.samples // per) * per}",
        )
    prompts = prompt_sets.load(config.prompts)
    check_vocabulary(prompts, config.model)
    if config.pairs is not None:
        check_reference(config.pairs)
    models.folder(config.model)
    lookup.require(config.reward)
    return method, reward, prompts


def claim(config: RunConfig, out: Path, resume: bool) -> bool:
    """Makes sure that the folder is this run's; False where the run is complete already.

    Errors: UsageError for a folder that holds another run, an unfinished one without ``resume``, or other files.
    """
    if not out.exists() or not any(out.iterdir()):
        return True
    file = out / "run.json"
    if not file.is_file():
        raise UsageError(
            f"{out} already holds other files", "it is not a run of ours: it has no run.json", "choose another --out"
        )
    there = read_object(file, "choose another --out")
    if there.get("digest") != config.digest:
        raise UsageError(
            f"{out} already holds another run",
            f"it was made with other settings: {_difference(there.get('config', {}), config.model_dump(mode='json'))}",
            "choose another --out",
        )
    if (out / "done.json").is_file():
        return False
    if not resume:
        raise UsageError(
            f"{out} holds this run, unfinished", "it was interrupted", "go on with it: the same command with --resume"
        )
    return True


def _difference(old: dict[str, object], new: dict[str, object]) -> str:
    keys = [key for key in new if old.get(key) != new[key]]
    return ", ".join(keys) or "an older format"


def build(
    config: RunConfig,
    resolved: Resolved,
    device: torch.device,
    say: Say,
    store: Path | None = None,
    skip_bad: bool = True,
) -> Parts:
    """Loads the model and the reward, opens the pairs, adds the adapter or frees every weight, makes the optimiser."""
    method, reward, prompts = check(config)
    cfg, pairs = config.method_config, None
    if config.pairs is not None:
        assert isinstance(cfg, PairsConfig)
        found = find_or_make(config.pairs, store or root(None), model=config.model, device=str(device), say=say)
        pairs = open_pairs(found, nodup=cfg.nodup, skip_bad=skip_bad)
    full = config.train.finetune == "full"
    backbone = backbones.load(config.model, device, resolved.dtype, "fp32" if full else None)
    for line in too_long(prompts, backbone.tokenizer):
        say(line)
    sampler, train = config.sampler, config.train
    policy = make_policy(backbone, sampler.steps, sampler.eta, sampler.guidance_scale)
    if full:
        train_all(policy)
    else:
        add_lora(backbone.unet, train.lora_rank, train.lora_alpha, config.seed)
    if resolved.gradient_checkpointing:
        recompute_activations(backbone)
    networks = [backbone.unet, backbone.vae, *([policy.reference] if policy.reference is not None else [])]
    speed_up(networks, train.compile, train.channels_last)
    parameters = policy.parameters()
    judge = StepReward(policy.decoder, reward(backbone.device), policy, resolved.reward_dtype)
    policy.denoising.size, judge.guiding.size = resolved.walk_rows, resolved.guidance_rows
    if resolved.decode_rows:
        policy.decoder.fits.size = judge.scoring.size = resolved.decode_rows
    made, reader = method(), None
    if pairs is not None and isinstance(made, OfflineMethod) and isinstance(cfg, PairsConfig):
        reader = Reader(made, cfg, pairs, config.seed, backbone)
    return Parts(made, cfg, policy, judge, prompts, parameters, make_optimizer(train, parameters), reader)


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


def run_key(config: RunConfig, resolved: Resolved, model_hash: str, pairs_hash: str | None = None) -> str:
    """Returns the key that a checkpoint must carry to be resumed: a hash of settings, precisions, weights and pairs."""
    return digest([config.digest, *resolved.identity, model_hash, *([pairs_hash] if pairs_hash else [])])


def write_run(
    config: RunConfig,
    resolved: Resolved,
    out: Path,
    model_hash: str,
    device: str,
    pairs_hash: str | None = None,
    processes: int = 1,
) -> None:
    """run.json: what this folder holds, from its first second; record.json: what ran, an entry for each start."""
    ran = record(config.model_dump(mode="json"), {config.model: model_hash}, device) | {"processes": processes}
    earlier = find_list(out / "record.json") or []  # a damaged one begins anew: no number depends on it
    write_json(out / "record.json", [*earlier, ran])
    run: dict[str, Any] = {
        "id": out.name,
        "digest": config.digest,
        "model_hash": model_hash,
        "config": config.model_dump(mode="json"),
    }
    run["resolved"] = asdict(resolved)
    if pairs_hash is not None:
        run["pairs_hash"] = pairs_hash
    write_json(out / "run.json", run)

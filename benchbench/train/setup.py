"""From settings to objects: everything that can be refused is refused before a weight is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from benchbench import prompts as prompt_sets
from benchbench import registry
from benchbench.api import Method, MethodConfig, PromptSet, Reward, StepScorer
from benchbench.config import RunConfig
from benchbench.diffusion import backbones, models
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.faster import speed_up
from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.lora import add_lora
from benchbench.diffusion.policy import Policy, make_policy
from benchbench.errors import UsageError
from benchbench.prompts.words import check_known, too_long
from benchbench.record import record
from benchbench.store.files import write_atomic
from benchbench.store.keys import digest

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


def check(config: RunConfig) -> tuple[type[Method], type[Reward], PromptSet]:
    """Everything that needs no weights. Errors: UsageError, MissingError."""
    method, reward = config.method_class, registry.get("rewards", config.reward)
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
    if models.is_shapes(config.model):
        check_known(prompts)
    models.folder(config.model)
    registry.require_reward(config.reward)
    return method, reward, prompts


def claim(config: RunConfig, out: Path, resume: bool) -> bool:
    """Makes sure that the folder is this run's; False where the run is complete already.

    Errors: UsageError for a folder that holds another run, an unfinished one without ``resume``, or other files.
    """
    if not out.exists() or not any(out.iterdir()):
        return True
    try:
        there = json.loads((out / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{out} already holds other files", f"it is not a run of ours ({error})", "choose another --out"
        ) from error
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


def build(config: RunConfig, device: str | None, say: Say) -> Parts:
    """Loads the model and the reward, adds the adapter, makes the optimiser."""
    method, reward, prompts = check(config)
    backbone = backbones.load(config.model, device, config.train.dtype)
    for line in too_long(prompts, backbone.tokenizer):
        say(line)
    sampler, train = config.sampler, config.train
    policy = make_policy(backbone, sampler.steps, sampler.eta, sampler.guidance_scale)
    add_lora(backbone.unet, train.lora_rank, train.lora_alpha, config.seed)
    speed_up(backbone.unet, train.compile, train.channels_last)
    parameters = policy.parameters()
    optimizer = torch.optim.AdamW(
        parameters, lr=train.lr, weight_decay=train.weight_decay, betas=train.betas, eps=train.eps
    )
    judge = StepReward(Decoder(backbone), reward(backbone.device), policy)
    return Parts(method(), config.method_config, policy, judge, prompts, parameters, optimizer)


def run_key(config: RunConfig, model_hash: str) -> str:
    """What a checkpoint must agree with to be resumed."""
    return digest([config.digest, model_hash])


def write_run(config: RunConfig, out: Path, model_hash: str, device: str) -> None:
    """run.json: what this folder holds, from its first second; record.json: what ran, an entry for each start."""
    ran = record(config.model_dump(mode="json"), {config.model: model_hash}, device)
    earlier = json.loads((out / "record.json").read_text(encoding="utf-8")) if (out / "record.json").is_file() else []
    write_atomic(out / "record.json", json.dumps([*earlier, ran], indent=1).encode())
    run = {"id": out.name, "digest": config.digest, "model_hash": model_hash, "config": config.model_dump(mode="json")}
    write_atomic(out / "run.json", json.dumps(run, indent=1).encode())

"""The settings of a training run: defaults, then a preset, then the command line; every error at once.

Imports no torch, so that a wrong word is reported before anything slow happens.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from benchbench import defaults, registry
from benchbench.api import Method, MethodConfig
from benchbench.errors import UsageError
from benchbench.rewards import mix
from benchbench.runtime.hashing import digest
from benchbench.types import Settings

PRESETS = ("released", "released-sdxl", "hf", "hf-sdxl", "paper", "shapes")


class SamplerConfig(Settings):
    """How images are made, in training and, unless a table says otherwise, in evaluation."""

    steps: int = Field(20, ge=1, le=1000, description="T, DDIM steps [TailorPO paper, D3PO code]")
    eta: float = Field(1.0, gt=0, le=1, description="DDIM stochasticity [all released code]")
    guidance_scale: float = Field(5.0, ge=0, description="w of classifier-free guidance [all released code]")


class TrainConfig(Settings):
    """The optimiser and the sizes of things."""

    lr: float = Field(3e-5, gt=0, description="AdamW learning rate [D3PO code]")
    weight_decay: float = Field(1e-4, ge=0, description="AdamW weight decay [DDPO, D3PO, SPO code]")
    betas: tuple[float, float] = Field((0.9, 0.999), description="AdamW betas [all released code]")
    eps: float = Field(1e-8, gt=0, description="AdamW epsilon [all released code]")
    grad_clip: float = Field(1.0, gt=0, description="largest gradient norm [DDPO, D3PO code]")
    lora_rank: int = Field(4, ge=1, description="LoRA rank on q, k, v, out [DDPO, D3PO, SPO code]")
    lora_alpha: float = Field(4.0, gt=0, description="LoRA alpha; the scale is alpha/rank [SPO code]")
    batch: int = Field(2, ge=1, description="final images of one rollout [TailorPO paper: 2]")
    micro_batch: int = Field(
        16,
        ge=1,
        description="most rows of one forward with gradient; a GPU with less memory takes fewer; not a part of the "
        "run's identity [ours]",
    )
    dtype: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = Field(
        "auto",
        description="precision of the UNet; auto: the method's on a GPU (bench show preset), fp32 on a CPU [ours]",
    )
    save_every: int = Field(0, ge=0, description="samples between checkpoints; 0: by train.save_minutes alone [ours]")
    eval_every: int = Field(96, ge=0, description="samples between evaluations on fixed noise; 0: none [ours]")
    eval_images: int = Field(45, ge=1, description="images of such an evaluation [ours]")
    keep_every: int = Field(0, ge=0, description="samples between adapters that are kept for good; 0: none [ours]")
    optimizer: Literal["adamw", "adafactor"] = Field(
        "adamw", description="adafactor: as DiffusionDPO's code trains SDXL; it takes no betas and no eps"
    )
    warmup: int = Field(0, ge=0, description="optimiser steps in which lr rises linearly, constant after [ours: none]")
    finetune: Literal["lora", "full"] = Field(
        "lora", description="an adapter, or every weight of the UNet in fp32 [Diffusion-DPO, DSPO, MaPO code: full]"
    )
    compile: bool = Field(
        False, description="compile the UNet's and VAE's blocks: faster on GPUs, other rounding [ours]"
    )
    channels_last: bool = Field(
        False, description="memory layout of UNet and VAE: faster on GPUs, other rounding [ours]"
    )
    save_minutes: float = Field(10.0, gt=0, description="minutes between checkpoints; one is written at the end [ours]")
    eval_steps: int = Field(
        0,
        ge=0,
        description="optimiser steps between evaluations, where train.eval_every is not 0; 0: by samples [ours]",
    )
    gradient_checkpointing: Literal["auto", "on", "off"] = Field(
        "auto", description="recompute activations in the backward pass; auto: where a GPU's memory asks for it [ours]"
    )
    reward_dtype: Literal["auto", "fp32", "tf32"] = Field(
        "auto", description="precision of a learned reward that judges or guides in training; auto: tf32 on GPUs [ours]"
    )

    @field_validator("gradient_checkpointing", mode="before")
    @classmethod
    def _word(cls, value: Any) -> Any:
        """YAML reads the words on and off as true and false."""
        return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


SCHEMA: Literal[1] = 1
"""The version of RunConfig. Runs whose run.json names none are of an earlier one, and cannot be told from others."""
NOT_IDENTITY = {"micro_batch", "gradient_checkpointing", "save_every", "save_minutes"}
"""Settings of ``train`` that change memory or files and at most the rounding of a result."""


class RunConfig(Settings):
    """What a run is: equal RunConfigs on equal weights make equal adapters."""

    model_config = ConfigDict(serialize_by_alias=True)

    schema_version: Literal[1] = Field(SCHEMA, alias="schema")  # raised when the same settings would make another run
    method: str
    model: str
    reward: str  # a name, or a mix as pickscore=0.5,aesthetic=0.3, which may be given as a mapping
    prompts: str
    samples: int = Field(gt=0, description="final images; a D3PO pair is 2")
    seed: int = Field(ge=0)
    preset: str
    settings: dict[str, Any]  # of the method, as its own Config dumps them
    train: TrainConfig
    sampler: SamplerConfig
    pairs: str | None = None  # what an offline method learns from

    @field_validator("reward", mode="before")
    @classmethod
    def _mix(cls, value: Any) -> Any:
        mixed = isinstance(value, Mapping) or (isinstance(value, str) and mix.is_mix(value))
        return mix.canonical(value) if mixed else value

    @property
    def method_class(self) -> type[Method[Any]]:
        """The Method behind the name."""
        cls: type[Method[Any]] = registry.get("methods", self.method)
        return cls

    @property
    def method_config(self) -> MethodConfig:
        """The settings as the method's own Config."""
        return self.method_class.Config.model_validate(self.settings)

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the result, JSON-able: not how much memory is used, nor how often is saved."""
        return self.model_dump(mode="json", exclude={"train": NOT_IDENTITY})

    @property
    def digest(self) -> str:
        """16 hex digits of the identity."""
        return digest(self.identity)


def load(
    method: str,
    model: str,
    reward: str | Mapping[str, float],
    prompts: str,
    samples: int,
    seed: int,
    preset: str | None = None,
    overrides: Sequence[str] = (),
    pairs: str | None = None,
) -> RunConfig:
    """Defaults, then the preset (by default the model's), then ``section.key=value`` strings.

    An offline method learns from ``pairs``, by default on shapes from pairs that the model itself makes.

    Errors: UsageError listing every unknown name and wrong value at once, each unknown name with the nearest one.
    """
    cls: type[Method[Any]] = registry.get("methods", method)
    preset = preset or default_preset(method, model)
    errors: list[str] = []
    values: dict[str, dict[str, Any]] = {"method": {}, "train": {}, "sampler": {}}
    for key, entry in preset_values(method, preset).items():
        section, dot, name = key.partition(".")
        if dot:
            values[section][name] = entry["value"]
    for text in overrides:
        key, equals, raw = text.partition("=")
        section, dot, name = key.strip().partition(".")
        if not equals or not dot:
            errors.append(f"{text!r} is not of the form section.key=value, as train.lr=1e-4")
        elif section not in values:
            errors.append(f"{key}: no section {section!r}{_nearest(section, values)}")
        else:
            values[section][name] = value(raw)
    parts: dict[str, Any] = {}
    for section, kind in (("method", cls.Config), ("train", TrainConfig), ("sampler", SamplerConfig)):
        try:
            parts[section] = kind.model_validate(values[section])
        except ValidationError as error:
            errors += [_explain(section, kind, item) for item in error.errors()]
    if samples < 1:
        errors.append(f"--samples {samples}: at least 1 is needed")
    if seed < 0:
        errors.append(f"--seed {seed}: must not be negative")
    if cls.data == "offline" and pairs is None:
        pairs = defaults.of(model).pairs
        if pairs is None:
            errors.append("--pairs is missing: it learns from pairs of images, as pickapic_v2 (see docs/pairs.md)")
    if cls.data == "online" and pairs is not None:
        errors.append(f"--pairs {pairs}: it makes its own images and reads no pairs; leave --pairs away")
    if errors:
        count = f"{len(errors)} settings are" if len(errors) > 1 else "a setting is"
        raise UsageError(
            f"{count} wrong for {method}",
            "; ".join(errors),
            f"see every setting and its default: bench show method {method}",
        )
    return RunConfig(
        method=method,
        model=model,
        reward=reward,  # type: ignore[arg-type]  # a mapping becomes the string
        prompts=prompts,
        samples=samples,
        seed=seed,
        preset=preset,
        settings=parts["method"].model_dump(mode="json"),
        train=parts["train"],
        sampler=parts["sampler"],
        pairs=pairs,
    )


def preset_values(method: str, preset: str) -> dict[str, dict[str, Any]]:
    """``section.key`` -> {value, origin} of a preset; a plug-in's method without a preset file has none.

    The key ``samples`` is the default of --samples.
    """
    if preset not in PRESETS:
        raise UsageError(f"no preset {preset!r}", f"there are {', '.join(PRESETS)}", "leave --preset away, or name one")
    presets = all_presets(method)
    if presets is None:
        return {}
    if preset not in presets:
        raise UsageError(
            f"{method} has no preset {preset!r}", f"it has {', '.join(presets)}", f"bench show preset {method}"
        )
    return presets[preset] or {}


def all_presets(method: str) -> dict[str, Any] | None:
    """The presets of a method by name, or None where it has no preset file."""
    file = resources.files("benchbench.methods") / "presets" / f"{method.replace('-', '_')}.yaml"
    if not file.is_file():
        return None
    presets: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return presets


def default_preset(method: str, model: str) -> str:
    """The model's own preset where the method has it, else ``released``: not every method has one for SDXL."""
    own = defaults.of(model).preset
    presets = all_presets(method)
    return own if presets is None or own in presets else "released"


def value(raw: str) -> Any:
    """The value of a ``key=value`` word: YAML, with 1e-4 read as a number (YAML 1.1 takes it for a word)."""
    try:
        return float(raw) if "e" in raw.lower() and raw.strip()[0] in "+-.0123456789" else yaml.safe_load(raw)
    except (ValueError, yaml.YAMLError):
        return raw


def _nearest(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f", did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"


def _explain(section: str, kind: type[BaseModel], item: Any) -> str:
    name = str(item["loc"][0]) if item["loc"] else ""
    if item["type"] == "extra_forbidden":
        return f"{section}.{name}: no such setting{_nearest(name, kind.model_fields)}"
    return f"{section}.{name}={item['input']!r}: {item['msg'][0].lower()}{item['msg'][1:]}"

"""The settings of a training run: defaults, then a preset, then the command line. All errors are reported at once.

Imports no torch, so that a wrong setting is reported before anything slow happens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NoReturn

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_serializer

from benchbench import defaults, presets, registry
from benchbench import prompts as prompt_sets
from benchbench.api import Method, MethodConfig
from benchbench.errors import UsageError
from benchbench.hub import models
from benchbench.rewards import mix
from benchbench.rewards.mix_rule import is_mix
from benchbench.runtime.names import absolute
from benchbench.samplers import FlowSampler, SamplerConfig, training_sampler
from benchbench.setting_errors import explain, nearest, wrong_numbers
from benchbench.store.run_file import NOT_IDENTITY, settings_digest
from benchbench.types import Settings

NO_PATHS = ("made:", "pickapic_v")
"""The beginnings of names of pairs that are no paths."""
Beta = Annotated[float, Field(ge=0, lt=1)]


class TrainConfig(Settings):
    """The optimizer, the adapter, batch sizes, precision and checkpoints."""

    lr: float = Field(3e-5, gt=0, description="AdamW learning rate [D3PO code]")
    weight_decay: float = Field(1e-4, ge=0, description="AdamW weight decay [DDPO, D3PO, SPO code]")
    betas: tuple[Beta, Beta] = Field((0.9, 0.999), description="AdamW betas [all released code]")
    eps: float = Field(1e-8, gt=0, description="AdamW epsilon [all released code]")
    grad_clip: float = Field(1.0, gt=0, description="largest gradient norm [DDPO, D3PO code]")
    lora_rank: int = Field(4, ge=1, description="LoRA rank on q, k, v, out [DDPO, D3PO, SPO code]")
    lora_alpha: float = Field(4.0, gt=0, description="LoRA alpha; the scale is alpha/rank [SPO code]")
    batch: int = Field(2, ge=1, description="final images of one rollout [TailorPO paper: 2]")
    micro_batch: int = Field(
        16,
        ge=1,
        description="largest number of rows per forward with gradient; a GPU with less memory takes fewer; not part of "
        "the run's identity [ours]",
    )
    dtype: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = Field(
        "auto",
        description="precision of the model; auto: the method's own on a GPU (bench show preset), on a CPU fp32 [ours]",
    )
    save_every: int = Field(0, ge=0, description="samples between checkpoints; 0: by train.save_minutes alone [ours]")
    eval_every: int = Field(96, ge=0, description="samples between evaluations on fixed noise; 0: none [ours]")
    eval_images: int = Field(45, ge=1, description="images of such an evaluation [ours]")
    keep_every: int = Field(0, ge=0, description="samples between adapters that are never deleted; 0: none [ours]")
    optimizer: Literal["adamw", "adafactor"] = Field(
        "adamw", description="adafactor trains SDXL in DiffusionDPO's code; it takes no betas and no eps"
    )
    warmup: int = Field(
        0, ge=0, description="optimizer steps in which lr rises linearly; constant after them [ours: none]"
    )
    finetune: Literal["lora", "full"] = Field(
        "lora", description="an adapter, or every weight of the network in fp32 [Diffusion-DPO, DSPO, MaPO code: full]"
    )
    compile: bool = Field(
        False, description="compile the network's and VAE's blocks: faster on GPUs, other rounding [ours]"
    )
    channels_last: bool = Field(
        False, description="memory layout of network and VAE: faster on GPUs, other rounding [ours]"
    )
    save_minutes: float = Field(10.0, gt=0, description="minutes between checkpoints; one is written at the end [ours]")
    eval_steps: int = Field(
        0,
        ge=0,
        description="optimizer steps between evaluations, where train.eval_every is not 0; 0: by samples [ours]",
    )
    gradient_checkpointing: Literal["auto", "on", "off"] = Field(
        "auto", description="recompute activations in the backward pass; auto: where a GPU needs it to fit [ours]"
    )
    reward_dtype: Literal["auto", "fp32", "tf32"] = Field(
        "auto", description="precision of a learned reward during training; auto: tf32 on GPUs [ours]"
    )

    ema: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="decay of a running average of the trained weights, which is evaluated and saved in their place; "
        "after n steps (1+n)/(10+n) where that is less, as in diffusers; 0: no average [ours: none]",
    )

    @model_serializer(mode="wrap")
    def _without_unused(self, dump: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Leaves out ``ema`` where it is 0, so that runs have the ids that they always had."""
        return {name: value for name, value in dump(self).items() if value or name != "ema"}

    @field_validator("gradient_checkpointing", mode="before")
    @classmethod
    def _on_or_off(cls, value: Any) -> Any:
        """Returns on or off for a boolean: YAML reads these words as true and false."""
        return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


SCHEMA: Literal[1] = 1
"""The version of RunConfig. A run.json without it comes from an earlier version, and its identity is unknown."""


class RunConfig(Settings):
    """Everything that defines a run: equal RunConfigs on equal weights train equal adapters."""

    model_config = ConfigDict(serialize_by_alias=True)

    schema_version: Literal[1] = Field(
        SCHEMA, alias="schema"
    )  # increased when the same settings start to mean another run
    method: str
    model: str
    reward: str  # a name, or a mix such as pickscore=0.5,aesthetic=0.3; a mapping is accepted, too
    prompts: str
    samples: int = Field(gt=0, description="final images; a D3PO pair counts 2")
    seed: int = Field(ge=0)
    preset: str
    settings: dict[str, Any]  # the method's Config as JSON
    train: TrainConfig
    sampler: SamplerConfig | FlowSampler
    pairs: str | None = None  # the preference data of an offline method

    @field_validator("reward", mode="before")
    @classmethod
    def _mix(cls, value: Any) -> Any:
        mixed = isinstance(value, Mapping) or (isinstance(value, str) and is_mix(value))
        return mix.canonical(value) if mixed else value

    @property
    def method_class(self) -> type[Method[Any]]:
        """The Method class."""
        method_class: type[Method[Any]] = registry.get("methods", self.method)
        return method_class

    @property
    def method_config(self) -> MethodConfig:
        """The settings of the method as its own Config."""
        return self.method_class.Config.model_validate(self.settings)

    @property
    def identity(self) -> dict[str, Any]:
        """All settings that decide the result, JSON-able; settings of memory and saving are left out."""
        return self.model_dump(mode="json", exclude={"train": NOT_IDENTITY})

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of the hash of the identity."""
        return settings_digest(self.identity)


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
    """Returns the RunConfig: defaults, then the preset (None: the model's), then the overrides ``section.key=value``.

    A preset may be a file of ``bench tune``. ``pairs`` is what an offline method learns from; None: the model's default
    pairs. Files and folders are named by absolute paths in the result, so that a run is the same from every working
    folder.

    Raises UsageError with every unknown name and wrong value at once; each unknown name comes with the nearest one.
    """
    check(method, model, samples, seed, preset, overrides)
    method_class: type[Method[Any]] = registry.get("methods", method)
    model = models.absolute_name(model)
    prompts = prompts if prompt_sets.find(prompts) else absolute(prompts)
    pairs = pairs if pairs is None or pairs.startswith(NO_PATHS) else absolute(pairs)
    preset = preset or presets.default_preset(method, model)
    chosen = presets.preset_values(method, preset)
    _refuse_wrong_settings(method, method_class, preset, chosen, model)
    values, errors = _collect(chosen, overrides)
    settings, wrong = _validate(method_class.Config, values, model)
    errors += wrong
    errors += _wrong_counts(samples, seed)
    if method_class.data == "offline" and pairs is None:
        pairs = defaults.of(model).pairs
        if pairs is None:
            errors.append("--pairs is missing: this method learns from pairs, as pickapic_v2 (see docs/pairs.md)")
    if method_class.data == "online" and pairs is not None:
        errors.append(f"--pairs {pairs}: this method generates its images and reads no pairs; leave --pairs out")
    if errors:
        _refuse(method, errors)
    _refuse_silent_rollouts(method_class, settings["sampler"])
    method_class.check_sampler(settings["method"], settings["sampler"].steps)
    return RunConfig(
        method=method,
        model=model,
        reward=reward,  # a mapping becomes a string
        prompts=prompts,
        samples=samples,
        seed=seed,
        preset=presets.label(method, preset),
        settings=settings["method"].model_dump(mode="json"),
        train=settings["train"],
        sampler=settings["sampler"],
        pairs=pairs,
    )


def _refuse_silent_rollouts(method_class: type[Method[Any]], sampler: SamplerConfig | FlowSampler) -> None:
    """Raises UsageError for an online method that learns from noise whose rollouts would draw none."""
    if method_class.data == "offline" or not method_class.needs_noise:
        return
    if isinstance(sampler, FlowSampler) and sampler.dynamics == "ode":
        raise UsageError(
            f"{method_class.name} cannot be trained with sampler.dynamics=ode",
            "the steps of ode draw no noise and have no log-probability, from which this method learns",
            "leave it out, or choose flow-sde, dance-sde or cps; evaluations take ode anyway (sampler.eval_dynamics)",
        )
    if isinstance(sampler, SamplerConfig) and sampler.eta == 0:
        raise UsageError(
            f"{method_class.name} cannot be trained with sampler.eta=0",
            "DDIM steps with eta=0 draw no noise and have no log-probability, from which this method learns",
            "use --set sampler.eta=1.0, as all released code of such methods does",
        )


def check(method: str, model: str, samples: int, seed: int, preset: str | None, overrides: Sequence[str] = ()) -> None:
    """Raises UsageError for an unknown method or preset, and for wrong settings.

    A method's code need not be loaded for that, which takes seconds: the class of its settings is made of its source.
    Where that cannot be done, and a setting of its own is given, errors are told when the code is loaded.
    """
    registry.require("methods", method)
    entries = presets.preset_values(method, preset or presets.default_preset(method, model))
    values, errors = _collect(entries, overrides)
    own = _collect({}, overrides)[0]["method"]
    config_class = registry.settings_class(method) if own else None
    if own and config_class is None:
        return
    of_preset = _validate(config_class, _collect(entries, ())[0], model)[1]  # in the preset's file: told as such
    errors += [error for error in _validate(config_class, values, model)[1] if error not in of_preset]
    errors += _wrong_counts(samples, seed)
    if errors:
        _refuse(method, errors)


def _wrong_counts(samples: int, seed: int) -> list[str]:
    few = [f"--samples {samples}: at least 1 is needed"] if samples < 1 else []
    return few + ([f"--seed {seed}: must not be negative"] if seed < 0 else [])


def _validate(
    config_class: type[BaseModel] | None, values: Mapping[str, Mapping[str, Any]], model: str
) -> tuple[dict[str, Any], list[str]]:
    """Returns the settings of each section that is sound, and a message for each wrong value and unknown key.

    ``config_class`` is of the method's own settings; None leaves these out.
    """
    sections: dict[str, type[BaseModel]] = {"method": config_class} if config_class else {}
    sections |= {"train": TrainConfig, "sampler": training_sampler(model)}
    settings: dict[str, Any] = {}
    errors: list[str] = []
    for section, section_class in sections.items():
        try:
            settings[section] = section_class.model_validate(values[section])
        except ValidationError as error:
            errors += [explain(section, section_class, item) for item in error.errors()]
        else:
            errors += wrong_numbers(f"{section}.", values[section], settings[section])
    return settings, errors


def _refuse_wrong_settings(
    method: str, method_class: type[Method[Any]], preset: str, entries: Mapping[str, Mapping[str, Any]], model: str
) -> None:
    """Raises UsageError where a preset has unknown settings or wrong values, or is for another kind of model."""
    other = FlowSampler if training_sampler(model) is SamplerConfig else SamplerConfig
    foreign = set(other.model_fields) - set(training_sampler(model).model_fields)
    if of_other := [key for key in entries if key.removeprefix("sampler.") in foreign]:
        kinds = {FlowSampler: "flow-matching", SamplerConfig: "diffusion"}
        raise UsageError(
            f"the preset {preset} does not fit {model}",
            f"it sets {', '.join(of_other)}, which only {kinds[other]} models have",
            f"leave --preset out, or choose another one: bench show preset {method}",
        )
    _, errors = _validate(method_class.Config, _collect(entries, ())[0], model)
    if errors:
        raise presets.wrong(method, [f"{preset}: {error}" for error in errors], preset)


def _collect(
    preset: Mapping[str, Mapping[str, Any]], overrides: Sequence[str]
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Returns the values by section and key, the preset's first, and a message for each malformed override."""
    values: dict[str, dict[str, Any]] = {"method": {}, "train": {}, "sampler": {}}
    errors: list[str] = []
    for key, entry in preset.items():
        section, dot, name = key.partition(".")
        if dot:
            values[section][name] = entry["value"]
    for text in overrides:
        key, equals, raw = text.partition("=")
        section, dot, name = key.strip().partition(".")
        if not equals or not dot:
            sections = [word for word, fields in SECTION_FIELDS.items() if section in fields and equals]
            meant = f"; did you mean {sections[0]}.{text}?" if sections else ""
            errors.append(f"{text!r} is not of the form section.key=value, as train.lr=1e-4{meant}")
        elif section not in values:
            errors.append(f"{key}: no section {section!r}{nearest(section, values)}")
        else:
            values[section][name] = parse_value(raw)
    return values, errors


SECTION_FIELDS = {"train": TrainConfig.model_fields, "sampler": SamplerConfig.model_fields}


def _refuse(method: str, errors: Sequence[str]) -> NoReturn:
    count = f"{len(errors)} settings are" if len(errors) > 1 else "a setting is"
    raise UsageError(
        f"{count} wrong for {method}",
        "; ".join(errors),
        f"see every setting and its default: bench show method {method}",
    )


def parse_value(raw: str) -> Any:
    """Returns the value in a ``key=value`` argument: YAML, but 1e-4 is a number (YAML 1.1 reads it as a string)."""
    try:
        return float(raw) if "e" in raw.lower() and raw.strip()[0] in "+-.0123456789" else yaml.safe_load(raw)
    except (ValueError, RecursionError, yaml.YAMLError):
        return raw

"""The settings of a sampler, in training and in evaluation, for each kind of model. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import Field

from benchbench.hub import families
from benchbench.hub.models import LocalModel
from benchbench.runtime.words import counted
from benchbench.types import Settings

EVALUATION = ("eval_steps", "eval_dynamics", "draw_time")
"""Settings of a flow-matching training that its own images are not made with."""


class _Making(Settings):
    """Settings of which some make images."""

    @property
    def making(self) -> dict[str, Any]:
        """The settings that decide how an image is made from its noise, as ``make_policy`` takes them."""
        return self.model_dump(mode="json", exclude={"strength"})


class SamplerConfig(_Making):
    """Settings of the sampler of a diffusion model, in training and, unless a table says otherwise, in evaluation."""

    steps: int = Field(20, ge=1, le=999, description="T, DDIM steps [TailorPO paper, D3PO code]")
    eta: float = Field(1.0, ge=0, le=1, description="DDIM stochasticity [all released code]; 0 has no log-prob")
    guidance_scale: float = Field(5.0, ge=0, description="w of classifier-free guidance [all released code]")

    @property
    def evaluation(self) -> Sampler:
        """The sampler of evaluations, which is that of the training."""
        return self

    @property
    def rollout(self) -> Sampler:
        """The sampler of a training's own images, without what concerns evaluations."""
        return self


class EditSampler(SamplerConfig):
    """Settings of the sampler of an edit, which starts from a noised source picture. Trainings have no such setting."""

    strength: float = Field(
        gt=0, le=1, description="share of the steps that an edit takes, from the noised source on [DSPO paper: 0.75]"
    )


class FlowImages(_Making):
    """Settings of the sampler of a flow-matching model that makes images for evaluation."""

    steps: int = Field(40, ge=1, le=999, description="T, steps of the grid [Flow-GRPO code: 40 to evaluate]")
    guidance_scale: float = Field(4.5, ge=0, description="w of classifier-free guidance [Flow-GRPO code, SD3.5-M]")
    dynamics: Literal["flow-sde", "dance-sde", "cps", "ode"] = Field(
        "ode", description="where a step's noise comes from; ode: there is none [Flow-GRPO code evaluates so]"
    )
    noise_level: float = Field(0.7, gt=0, le=1, description="a of the stochastic dynamics [Flow-GRPO code: 0.7]")
    grid: Literal["diffusers", "plain"] = Field(
        "diffusers", description="times of the steps, as diffusers makes them from a number, or from 1 to 1/T"
    )
    shift: float | None = Field(None, gt=0, description="moves times towards noise; null: the model's own")

    @property
    def evaluation(self) -> Sampler:
        """The settings themselves."""
        return self

    @property
    def rollout(self) -> Sampler:
        """The settings themselves."""
        return self


class FlowEdit(FlowImages):
    """Settings of the sampler of an edit by a flow-matching model."""

    strength: float = Field(
        gt=0, le=1, description="share of the steps that an edit takes, from the noised source on [DSPO paper: 0.75]"
    )


class FlowSampler(FlowImages):
    """Settings of the sampler of a flow-matching model in training, and of the one that evaluates it."""

    steps: int = Field(10, ge=1, le=999, description="T, steps of a rollout in training [Flow-GRPO code: 10]")
    dynamics: Literal["flow-sde", "dance-sde", "cps", "ode"] = Field(
        "flow-sde", description="where a training step's noise comes from [Flow-GRPO code]; ode has no log-prob"
    )
    draw_time: Literal["uniform", "logit-normal"] = Field(
        "uniform", description="time at which an offline method noises an image, before the shift [ours]"
    )
    eval_steps: int = Field(40, ge=1, le=999, description="steps in evaluations [Flow-GRPO code: 40]")
    eval_dynamics: Literal["flow-sde", "dance-sde", "cps", "ode"] = Field(
        "ode", description="dynamics in evaluations [Flow-GRPO code]"
    )

    @property
    def making(self) -> dict[str, Any]:
        """The settings that decide how an image is made, and at which time an image is noised."""
        return self.model_dump(mode="json", exclude={"eval_steps", "eval_dynamics"})

    @property
    def evaluation(self) -> FlowImages:
        """The sampler of evaluations: other steps and dynamics, all else as in training.

        The ODE has no noise level, so that trainings of several levels make the same images of the base model.
        """
        changes: dict[str, Any] = {"steps": self.eval_steps, "dynamics": self.eval_dynamics}
        if self.eval_dynamics == "ode":
            changes["noise_level"] = FlowImages.model_fields["noise_level"].default
        return self.rollout.model_copy(update=changes)

    @property
    def rollout(self) -> FlowImages:
        """The sampler of a training's own images, without what concerns evaluations and given images."""
        return FlowImages.model_validate(self.model_dump(mode="json", exclude=set(EVALUATION)))


Sampler = SamplerConfig | FlowImages
"""The sampler of a training or of images, of a model of either kind."""


def training_sampler(model: str | LocalModel) -> type[SamplerConfig] | type[FlowSampler]:
    """Returns the class of a training's sampler settings for a base model, known by name or by its folder."""
    return FlowSampler if families.is_flow(model) else SamplerConfig


def trained_with(model: str | LocalModel, values: Mapping[str, Any]) -> SamplerConfig | FlowSampler:
    """Returns the sampler of a training of a base model, with ``values`` in place of defaults."""
    return training_sampler(model).model_validate(values)


def default_sampler(model: str | LocalModel) -> Sampler:
    """Returns the sampler of images where nothing names another one."""
    return training_sampler(model)().evaluation


def sampler_of(values: Mapping[str, Any]) -> Sampler:
    """Returns the sampler of images with these settings: of an edit where they name a strength.

    Of the settings of a flow-matching training it is the sampler of its evaluations.
    """
    if "eval_steps" in values:
        return FlowSampler.model_validate(values).evaluation
    flow, edit = "dynamics" in values, "strength" in values
    kinds: dict[tuple[bool, bool], type[SamplerConfig] | type[FlowImages]] = {
        (False, False): SamplerConfig,
        (False, True): EditSampler,
        (True, False): FlowImages,
        (True, True): FlowEdit,
    }
    return kinds[flow, edit].model_validate(values)


def described(sampler: Mapping[str, Any]) -> str:
    """Returns the settings in words: steps 20, eta 1, guidance scale 5; or 40 steps of ode, guidance scale 4.5."""
    steps = [steps_in_words(sampler)] if "dynamics" in sampler else []
    others = {key: value for key, value in sampler.items() if value is not None and not (steps and key in IN_WORDS)}
    words = (
        f"{key.replace('_', ' ')} {value if isinstance(value, str) else f'{value:g}'}" for key, value in others.items()
    )
    return ", ".join([*steps, *words])


IN_WORDS = ("steps", "dynamics", "noise_level")
"""The settings of a flow-matching sampler that ``steps_in_words`` tells."""


def steps_in_words(sampler: Mapping[str, Any]) -> str:
    """Returns the steps of a flow-matching sampler: 40 steps of ode; or 10 steps of flow-sde, noise level 0.7."""
    noise = "" if sampler["dynamics"] == "ode" else f", noise level {sampler['noise_level']:g}"
    return f"{counted(sampler['steps'], 'step')} of {sampler['dynamics']}{noise}"


def trained_in_words(settings: Mapping[str, Any]) -> str:
    """Returns how a run of these settings is trained, where its evaluations sample otherwise; empty where they do not.

    A method that learns from pairs of given images noises them at times of its own and takes no steps.
    """
    values = settings.get("sampler") or {}
    if "eval_steps" not in values:
        return ""
    if settings.get("pairs"):
        return f"at {values['draw_time']} times"
    return f"with {steps_in_words(FlowSampler.model_validate(values).rollout.model_dump())}"


def apart_in_words(settings: Iterable[Mapping[str, Any]], evaluated: Mapping[str, Any] | None = None) -> str:
    """Returns how runs of these settings are trained and evaluated, where the two differ; else an empty text.

    ``evaluated`` is the sampler of the evaluation; None: that of the first run's own settings.
    """
    runs = list(settings)
    trained = list(dict.fromkeys(filter(None, map(trained_in_words, runs))))
    if not trained:
        return ""
    used = evaluated or next(sampler_of(run["sampler"]).model_dump() for run in runs if trained_in_words(run))
    return f"trained {' or '.join(trained)}; evaluated with {described(used)}"


def steps_taken(sampler: Mapping[str, Any]) -> int:
    """Returns the number of steps that an image takes under the settings of a sampler; 0 without any step.

    An edit takes int(steps x strength), as StableDiffusionImg2ImgPipeline of diffusers does: 37 of 50 at 0.75. One of a
    flow-matching model leaves out int(steps - steps x strength), as StableDiffusion3Img2ImgPipeline does, and takes 38.
    """
    steps, strength = sampler.get("steps", 0), sampler.get("strength", 1)
    return steps - int(steps - steps * strength) if "dynamics" in sampler else int(steps * strength)

"""Protocols that measure states x_k of denoising walks: the states, their walks, completions, and the store.

A state is a prompt and a sample number. Its noise depends only on (seed, prompt, number, step), so states are measured
in parts of a fixed size, each stored at once, and neither parts nor batches change a number.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import pandas as pd
import torch
from pydantic import Field
from torch import Tensor

from benchbench import reward_calls
from benchbench.diffusion import backbones
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.flow_schedule import FlowSchedule
from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.load_finetuned import with_weights
from benchbench.diffusion.policy import Policy, make_policy
from benchbench.diffusion.rollout import NoiseSource, Visit, rollout
from benchbench.diffusion.schedule import Step, check_steps
from benchbench.errors import UsageError
from benchbench.hub.models import LocalModel
from benchbench.noise import Noise, Sample
from benchbench.prompts.words import check_vocabulary
from benchbench.protocols.base import PaperProtocol, ProtocolSettings, Request, Target, find_target, samplers
from benchbench.runtime.memory import Splitter
from benchbench.runtime.provenance import record
from benchbench.samplers import FlowImages, Sampler, SamplerConfig, described
from benchbench.store.measurements import MeasurementStore
from benchbench.store.scores import made_by
from benchbench.types import Cond, PromptSet

DEFAULT_STEPS = SamplerConfig().steps
"""The number of steps of the sampler that the default step indices belong to."""
REALM = "measure"  # of the noise, so that states differ from the images of evaluations and trainings


class StateSettings(ProtocolSettings):
    """How many states, and at which step indices."""

    states: int = Field(100, ge=1, description="walks that are measured, spread over the prompts")
    steps: tuple[int, ...] = Field((20, 16, 12, 8, 4), min_length=1, description="step indices t")


@dataclass(frozen=True)
class Probe:
    """The means to measure states: the model as a policy, the reward of states, and the noise."""

    policy: Policy
    step_reward: StepReward
    noise: Noise

    @cached_property
    def finishing(self) -> Splitter:
        """Decides how many walks are finished at a time."""
        return Splitter("finishing walks", self.policy.backbone.batch_size, row="walk")


S = TypeVar("S", bound=StateSettings)


class StateProtocol(PaperProtocol[S]):
    """A protocol that measures states. Subclasses define ``measure_states``, and the hooks that they need."""

    per_part: ClassVar[int] = 8  # states per file: what a kill can lose
    unit: ClassVar[str] = "states"

    @abstractmethod
    def measure_states(self, probe: Probe, samples: Sequence[Sample], settings: S) -> pd.DataFrame:
        """Returns the rows of these states, each with the columns of ``identity``. Gradients are enabled."""

    def check_target(self, target: Target, settings: S) -> None:
        """Raises UsageError for a target that cannot be measured; called before any weights are loaded."""

    def key_settings(self, settings: S) -> dict[str, Any]:
        """Returns the settings that decide the stored rows."""
        return settings.model_dump(mode="json", exclude={"sampler"})

    def derive(self, frame: pd.DataFrame, settings: S) -> pd.DataFrame:
        """Returns the stored rows with the columns that are computed from them."""
        return frame

    def fitted(self, settings: S, model: str | LocalModel) -> S:
        """Returns the settings with default steps in the same places of a flow-matching model's sampler.

        They are steps of a DDIM sampler of ``DEFAULT_STEPS`` steps: (20, 16, 12, 8, 4) of 20 become (10, 8, 6, 4, 2)
        of 10. Steps that draw no noise are replaced by the nearest one that does.
        """
        usual = type(settings).model_fields["steps"].default, self.quick.steps
        sampler = samplers(settings, model, [])[0]
        if settings.steps not in usual or not isinstance(sampler, FlowImages):
            return settings
        noisy = flow_schedule(sampler).trainable
        places = [k * sampler.steps / DEFAULT_STEPS for k in settings.steps]
        steps = dict.fromkeys(min(noisy, key=lambda k: abs(k - place)) for place in places) if noisy else settings.steps
        return settings.model_copy(update={"steps": tuple(steps)})

    def sampled(self, settings: S, model: str | LocalModel, runs: Sequence[Mapping[str, Any]]) -> str:
        """Returns the sentence on the sampler of the training, whose steps are measured."""
        sampler = samplers(settings, model, runs)[0]
        return f"Sampled with {described(sampler.model_dump())}" if isinstance(sampler, FlowImages) else ""

    def rows(self, asked: Request[S]) -> pd.DataFrame:
        """Returns rows by state and step.

        Raises UsageError, MissingError, CorruptError, RunError (a reward that is not finite).
        """
        settings, prompts = asked.settings, asked.prompts
        target = find_target(replace(asked, dtype=self.precision(asked.dtype, asked.device)))
        check_steps(settings.steps, target.sampler.steps, "steps")
        check_noise(target.sampler, settings.steps)
        check_vocabulary(prompts, target.model.name)
        self.check_target(target, settings)
        key = {"schema": self.schema, "settings": self.key_settings(settings), **target.key()}
        measurements = MeasurementStore(asked.store, self.name, key, made_by(target.reward))
        samples = spread(prompts, settings.states, settings.seed)
        missing = measurements.missing(settings.states, self.per_part, lambda line: None)
        if missing:
            count = sum(stop - start for start, stop in missing)
            asked.log(
                f"{self.title} of {target.label} under {target.reward.name}: {count} of {settings.states} {self.unit} "
                f"to measure, {self.cost(settings, target.sampler.steps)} for all; into {measurements.folder}"
            )

        def prepare() -> Any:
            probe = open_probe(target, settings.seed)

            def measure_part(start: int, stop: int) -> pd.DataFrame:
                part = samples[start:stop]
                names = [f"prompt {s.prompt!r}, sample {s.number}, seed {settings.seed}" for s in part]
                try:
                    return self.measure_states(probe, part, settings)
                finally:  # a score that is not finite may be why the protocol failed
                    probe.step_reward.check(names)

            return measure_part

        def measured_on() -> dict[str, Any]:
            weights = {target.model.name: target.model_hash}
            if target.adapter:
                weights[target.adapter.label] = target.adapter.hash
            return record({"protocol": self.name, "prompts": prompts.name, **key}, weights, target.device)

        title = f"{self.name} {target.adapter.label if target.adapter else target.model}"
        size = settings.states, self.per_part
        frame = measurements.collect(*size, prepare, measured_on, title, self.unit, asked.log)
        return self.derive(frame, settings)


def check_noise(sampler: Sampler, steps: Sequence[int]) -> None:
    """Raises UsageError where a step that is to be measured draws no noise."""
    if isinstance(sampler, FlowImages):
        flow_schedule(sampler).check(steps, "steps")
    elif sampler.eta == 0:
        raise UsageError(
            "the steps of this run's sampler cannot be measured",
            "it is DDIM with eta=0, whose steps draw no noise, so that all walks from one state end alike",
            "measure a run that was trained with noise, or the base model",
        )


def flow_schedule(sampler: FlowImages) -> FlowSchedule:
    """Returns the steps of a flow-matching sampler, whatever the model; they draw noise in the same places."""
    return FlowSchedule.from_config({}, **{k: v for k, v in sampler.making.items() if k != "guidance_scale"})


def open_probe(target: Target, seed: int) -> Probe:
    """Returns the probe of a target; loads the weights."""
    backbone = backbones.load(target.model, target.device, target.dtype)
    backbone = with_weights(backbone, target.adapter.weights if target.adapter else None)
    policy = make_policy(backbone, **target.sampler.making)
    step_reward = StepReward(Decoder(backbone), reward_calls.load(target.reward, backbone.device), policy)
    return Probe(policy, step_reward, Noise(seed, REALM))


def spread(prompts: PromptSet, count: int, seed: int) -> list[Sample]:
    """Returns ``count`` samples in an order that the seed decides: no prompt comes again before all have come."""
    order = Noise(seed, REALM).permutation(len(prompts), "prompts")
    places = [(order[i % len(order)], i // len(order)) for i in range(count)]
    return [Sample(prompts.prompts[index], number, index) for index, number in places]


def identity(samples: Sequence[Sample], k: int) -> pd.DataFrame:
    """Returns the columns that name a row: prompt_index, prompt, sample and k."""
    columns = {"prompt_index": [s.index for s in samples], "prompt": [s.prompt for s in samples]}
    return pd.DataFrame({**columns, "sample": [s.number for s in samples], "k": k})


@torch.no_grad()
def walk(
    probe: Probe, cond: Cond, samples: Sequence[Sample], ks: Sequence[int], branches: Sequence[str] = ("",)
) -> Iterator[Visit]:
    """Yields the visits of a plain walk at the step indices ``ks``, the noisiest first; stops after the last of them.

    ``branches`` start from one x_T and go on with noise of their own: x is [B * N, C, h, w], branch after branch.
    """
    policy, noise_source = probe.policy, NoiseSource(probe.policy, probe.noise, samples)
    n = len(branches)
    start = noise_source.start().repeat(n, 1, 1, 1)

    def draw(k: int) -> Tensor:
        return torch.cat([noise_source.z(k, branch) for branch in branches])

    for visit in rollout(policy, cond.repeat(n), start, draw):
        if visit.k in ks:
            yield visit
        if visit.k == min(ks):
            return


@torch.no_grad()
def completions(
    probe: Probe, cond: Cond, samples: Sequence[Sample], x: Tensor, k: int, step: Step | None, count: int, branch: str
) -> Tensor:
    """Returns rewards float32 [N, count] of the images to which ``count`` independent walks lead from x_k [N, C, h, w].

    ``step`` is the policy's step at x_k, which the walks share. At k = 0 it is None: there is one image, and no noise.
    """
    if k == 0:
        return probe.step_reward(x, [s.prompt for s in samples], "step 0")[:, None].expand(-1, count)
    assert step is not None
    rows = [(i, m) for i in range(len(samples)) for m in range(count)]
    backbone = probe.policy.backbone

    def finish(part: slice) -> Tensor:
        part_rows = rows[part]
        index = torch.tensor([i for i, _ in part_rows], device=x.device)

        def draw(at: int) -> Tensor:
            noises = [
                probe.noise.normal([samples[i]], "completion", branch, k, m, at, shape=backbone.latent_shape)
                for i, m in part_rows
            ]
            return torch.cat(noises).to(backbone.device, non_blocking=True)

        with probe.policy.attempt():
            for visit in rollout(probe.policy, cond[index], x[index], draw, first_k=k, step=step[index]):
                last = visit.x
            prompts = [samples[i].prompt for i, _ in part_rows]
            return probe.step_reward(last, prompts, f"the end of a walk from step {k}")

    return probe.finishing(finish, len(rows)).view(len(samples), count)


def completion_evals(k: int) -> int:
    """Returns the network evaluations of one completion from x_k, whose first step is known."""
    return max(k - 1, 0)


def need_differentiable(target: Target, cause: str) -> None:
    """Raises UsageError for a reward without a gradient."""
    if not target.reward.differentiable:
        raise UsageError(
            f"this protocol needs a differentiable reward, and {target.reward.name} is not",
            cause,
            "choose another: bench list rewards",
        )

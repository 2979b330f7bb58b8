"""Measurements on states x_k of denoising walks: who is looked at, the walk, completions, and the way to the store.

A state is a prompt and a number: its noise is a function of (seed, prompt, number, step) alone, so states are measured
in parts of a fixed size, each kept as soon as it is done, and neither parts nor batches change a number.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pandas as pd
import torch
from pydantic import Field
from torch import Tensor

from benchbench.diffusion import backbones
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.load_finetuned import with_weights
from benchbench.diffusion.policy import Policy, make_policy
from benchbench.diffusion.rollout import NoiseSource, Visit, rollout
from benchbench.diffusion.schedule import Step, check_steps
from benchbench.errors import UsageError
from benchbench.hub.models import LocalModel
from benchbench.noise import Noise, Sample
from benchbench.prompts.words import check_vocabulary
from benchbench.protocols.measurement import Measurement, MeasureSettings, Run, Target, target
from benchbench.runtime.files import Log
from benchbench.runtime.memory import Splitter
from benchbench.runtime.provenance import record
from benchbench.store.measurements import MeasurementParts
from benchbench.types import Cond, PromptSet, Reward

REALM = "measure"  # of the noise: states are never an evaluation's images, nor a training's


class StateSettings(MeasureSettings):
    """How many states, and at which step indices."""

    states: int = Field(100, ge=1, description="walks that are looked at, spread over the prompts")
    steps: tuple[int, ...] = Field((20, 16, 12, 8, 4), min_length=1, description="step indices t")


@dataclass(frozen=True)
class Probe:
    """What looks at states: the model as a policy, the reward, and the noise."""

    policy: Policy
    judge: StepReward
    noise: Noise

    @cached_property
    def finishing(self) -> Splitter:
        """The number of walks that are finished at a time."""
        return Splitter("finishing walks", self.policy.backbone.batch_size, row="walk")


S = TypeVar("S", bound=StateSettings)


class StateMeasurement(Measurement[S]):
    """A protocol that looks at states. A subclass says what rows a few of them give."""

    per_part: ClassVar[int] = 8  # states a file: what a kill can cost
    unit: ClassVar[str] = "states"

    @abstractmethod
    def look(self, probe: Probe, samples: Sequence[Sample], settings: S) -> pd.DataFrame:
        """Rows of these states, each with ``identity`` and k. Called with gradients enabled."""

    def refuse(self, aim: Target, settings: S) -> None:
        """Raises UsageError for what cannot be measured, before any weight is loaded."""

    def key_settings(self, settings: S) -> dict[str, Any]:
        """The settings that decide the rows."""
        return settings.model_dump(mode="json", exclude={"sampler"})

    def derive(self, frame: pd.DataFrame, settings: S) -> pd.DataFrame:
        """Columns that follow from the stored ones."""
        return frame

    def measure(
        self,
        model: str | LocalModel,
        run: Run,
        prompts: PromptSet,
        reward: str | type[Reward],
        settings: S,
        *,
        store: Path,
        device: str | None = None,
        dtype: str = "auto",
        log: Log = print,
    ) -> pd.DataFrame:
        """Rows by state and step. Errors: UsageError, MissingError, CorruptError, RunError (a reward not finite)."""
        aim = target(model, run, prompts, reward, settings, store, device, self.precision(dtype, device), log)
        check_steps(settings.steps, aim.sampler.steps)
        check_vocabulary(prompts, aim.model.name)
        self.refuse(aim, settings)
        key = {"schema": self.schema, "settings": self.key_settings(settings), **aim.key()}
        kept = MeasurementParts(store, self.name, key)
        samples = spread(prompts, settings.states, settings.seed)
        left = sum(stop - start for start, stop in kept.missing(settings.states, self.per_part, lambda line: None))
        if left:
            price = self.cost(settings, aim.sampler.steps)
            log(
                f"{self.title} of {aim.label} under {aim.reward.name}: {left} of {settings.states} {self.unit} to "
                f"measure, {price} for all; into {kept.folder}"
            )

        def compute() -> Any:
            probe = open_probe(aim, settings.seed)

            def part(start: int, stop: int) -> pd.DataFrame:
                chosen = samples[start:stop]
                rows = self.look(probe, chosen, settings)
                probe.judge.check([f"prompt {s.prompt!r}, sample {s.number}, seed {settings.seed}" for s in chosen])
                return rows

            return part

        def ran() -> dict[str, Any]:
            weights = {aim.model.name: aim.model_hash} | ({aim.adapter.label: aim.adapter.hash} if aim.adapter else {})
            return record({"protocol": self.name, "prompts": prompts.name, **key}, weights, aim.device)

        title = f"{self.name} {aim.adapter.label if aim.adapter else aim.model}"
        frame = kept.collect(settings.states, self.per_part, compute, ran, title, self.unit, log)
        return self.derive(frame, settings)


def open_probe(aim: Target, seed: int) -> Probe:
    """Loads the weights."""
    backbone = backbones.load(aim.model, aim.device, aim.dtype)
    backbone = with_weights(backbone, aim.adapter.weights if aim.adapter else None)
    policy = make_policy(backbone, aim.sampler.steps, aim.sampler.eta, aim.sampler.guidance_scale)
    judge = StepReward(Decoder(backbone), aim.reward(backbone.device), policy)
    return Probe(policy, judge, Noise(seed, REALM))


def spread(prompts: PromptSet, count: int, seed: int) -> list[Sample]:
    """``count`` samples over the prompts in an order of the seed's: each prompt once before any comes again."""
    order = Noise(seed, REALM).permutation(len(prompts), "prompts")
    places = [(order[i % len(order)], i // len(order)) for i in range(count)]
    return [Sample(prompts.prompts[index], number, index) for index, number in places]


def identity(samples: Sequence[Sample], k: int) -> pd.DataFrame:
    """The columns that name a row: prompt_index, prompt, sample and k."""
    columns = {"prompt_index": [s.index for s in samples], "prompt": [s.prompt for s in samples]}
    return pd.DataFrame({**columns, "sample": [s.number for s in samples], "k": k})


@torch.no_grad()
def walk(
    probe: Probe, cond: Cond, samples: Sequence[Sample], ks: Sequence[int], branches: Sequence[str] = ("",)
) -> Iterator[Visit]:
    """Visits of a plain walk at the step indices ``ks``, the noisy end first, and no further than it must go.

    Several ``branches`` leave one x_T and go on with noise of their own: [B * N, C, h, w], one branch after another.
    """
    policy, draws = probe.policy, NoiseSource(probe.policy, probe.noise, samples)
    n = len(branches)
    start = draws.start().repeat(n, 1, 1, 1)

    def draw(k: int) -> Tensor:
        return torch.cat([draws.z(k, branch) for branch in branches])

    for visit in rollout(policy, cond.repeat(n), start, draw):
        if visit.k in ks:
            yield visit
        if visit.k == min(ks):
            return


@torch.no_grad()
def completions(
    probe: Probe, cond: Cond, samples: Sequence[Sample], x: Tensor, k: int, step: Step | None, count: int, branch: str
) -> Tensor:
    """Rewards float32 [N, count] of images that ``count`` independent walks make from each of x_k [N, C, h, w].

    The first of their steps is common to them and known, ``step``. At k = 0 there is one image and nothing random.
    """
    if k == 0:
        return probe.judge(x, [s.prompt for s in samples], "step 0")[:, None].expand(-1, count)
    assert step is not None
    rows = [(i, m) for i in range(len(samples)) for m in range(count)]
    backbone = probe.policy.backbone

    def finish(some: slice) -> Tensor:
        part = rows[some]
        index = torch.tensor([i for i, _ in part], device=x.device)

        def draw(at: int) -> Tensor:
            words = [("completion", branch, k, m, at) for _, m in part]
            shape = backbone.latent_shape
            drawn = [probe.noise.normal([samples[i]], *w, shape=shape) for (i, _), w in zip(part, words, strict=True)]
            return torch.cat(drawn).to(backbone.device, non_blocking=True)

        with probe.policy.attempt():
            for visit in rollout(probe.policy, cond[index], x[index], draw, first=k, step=step[index]):
                last = visit.x
            return probe.judge(last, [samples[i].prompt for i, _ in part], f"the end of a walk from step {k}")

    return probe.finishing(finish, len(rows)).view(len(samples), count)


def completion_evals(k: int) -> int:
    """UNet evaluations of one completion from x_k whose first step is known."""
    return max(k - 1, 0)


def need_differentiable(aim: Target, why: str) -> None:
    """Raises UsageError for a reward without a gradient."""
    if not aim.reward.differentiable:
        raise UsageError(
            f"this protocol needs a differentiable reward, and {aim.reward.name} is not",
            why,
            "choose another: bench list rewards",
        )

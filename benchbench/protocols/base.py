"""The base of every protocol: settings, a cost, ``measure``, which returns rows, and ``table``, which shows them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import pandas as pd
from pydantic import Field

from benchbench.diffusion.cost import GRADIENT
from benchbench.errors import UsageError
from benchbench.evaluate.measure import device_and_dtype
from benchbench.evaluate.reward_table import PublishedValues
from benchbench.evaluate.rows import check_model
from benchbench.hub import models
from benchbench.hub.models import LocalModel
from benchbench.prompts.sources import refuse_sources
from benchbench.protocols.step_table import TableStyle
from benchbench.report.sections import Section
from benchbench.report.table import Table
from benchbench.rewards import lookup
from benchbench.rewards.identity import key_of_reward
from benchbench.rewards.mix import Ensemble
from benchbench.rewards.needs import check_needs
from benchbench.runtime.files import Log
from benchbench.samplers import FlowImages, Sampler, SamplerConfig, apart_in_words, described, trained_with
from benchbench.stats.intervals import LEVEL
from benchbench.store.runs import Adapter, AdapterReference, find_adapter
from benchbench.types import PromptSet, Reward, Settings


class ProtocolSettings(Settings):
    """The settings of every protocol."""

    seed: int = Field(0, ge=0, description="of the noise")
    sampler: SamplerConfig | FlowImages | None = Field(None, description="none: the one that the run was trained with")


S = TypeVar("S", bound=ProtocolSettings)


@dataclass(frozen=True)
class ProtocolCost:
    """Counts of guided network evaluations without and with gradient, decoded images and reward calls."""

    unet_evals: int = 0
    unet_grads: int = 0
    decodes: int = 0
    reward_calls: int = 0
    gradient: str = "lora"
    """The kind of gradient that is counted: a key of ``benchbench.diffusion.cost.GRADIENT``."""

    @property
    def nfe(self) -> float:
        """All network evaluations, those with gradient converted to evaluations without."""
        return self.unet_evals + GRADIENT[self.gradient] * self.unet_grads

    def __str__(self) -> str:
        grads = f" and {self.unet_grads:,} with gradient" if self.unet_grads else ""
        return (
            f"{self.unet_evals:,} guided network evaluations{grads}, {self.decodes:,} decoded images, "
            f"{self.reward_calls:,} reward calls"
        )


@dataclass(frozen=True)
class Request(Generic[S]):
    """Holds the arguments of ``PaperProtocol.measure``."""

    model: str | LocalModel
    run: AdapterReference | None
    prompts: PromptSet
    reward: str | type[Reward]
    settings: S
    store: Path
    device: str | None
    dtype: str
    log: Log


class PaperProtocol(ABC, Generic[S]):
    """A protocol of a paper. ``quick`` holds its settings under --quick.

    Frames are tidy: columns that name the unit (prompt_index, prompt, sample), the step ``k`` if there is one, and
    value columns. A caller that puts several trainings into one row adds the column ``train_seed``.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    schema: ClassVar[int] = 1  # raised when the same settings would mean other numbers
    has_base: ClassVar[bool] = True  # True if the base model is a row by itself
    dtype: ClassVar[str | None] = None  # the only precision to measure in, if there is one
    compared: ClassVar[tuple[str, tuple[str, ...]] | None] = None  # a setting to compare, and its default values
    default_prompts: ClassVar[str | None] = None  # where a command names none; None: those of the model
    only_reward: ClassVar[str | None] = None  # the only reward to measure under, if there is one
    edits: ClassVar[bool] = False  # True if its prompts edit pictures
    rows_by_method: ClassVar[bool] = False  # True if a row has its method's name, where no other row has it
    Settings: ClassVar[type[ProtocolSettings]]
    quick: S

    def measure(
        self,
        model: str | LocalModel,
        run: AdapterReference | None,
        prompts: PromptSet,
        reward: str | type[Reward],
        settings: S,
        *,
        store: Path,
        device: str | None = None,
        dtype: str = "auto",
        log: Log = print,
    ) -> pd.DataFrame:
        """Returns the rows of one model under one reward; computes only what the store lacks.

        ``run`` is None for the base model. Raises UsageError, MissingError, CorruptError, RunError.
        """
        return self.rows(Request(model, run, prompts, reward, settings, store, device, dtype, log))

    @abstractmethod
    def rows(self, asked: Request[S]) -> pd.DataFrame:
        """Returns what ``measure`` returns."""

    def precision(self, dtype: str, device: str | None) -> str:
        """Returns the precision to measure in if the user asks for ``dtype``.

        Raises UsageError for an unknown name, or if the protocol is defined only in another precision.
        """
        picked = device_and_dtype(device, self.dtype or dtype)[1]
        if self.dtype and dtype not in ("auto", self.dtype):
            raise UsageError(
                f"{self.name} cannot be measured in {dtype}",
                "rounding in that precision is as large as what it measures",
                f"leave --dtype out, or say --dtype {self.dtype}",
            )
        return picked

    def fitted(self, settings: S, model: str | LocalModel) -> S:
        """Returns default settings in the form that fits the sampler of a model."""
        return settings

    def sampled(self, settings: S, model: str | LocalModel, runs: Sequence[Mapping[str, Any]]) -> str:
        """Returns the sentence of the caption on how images were sampled, where that differs from the training."""
        sampler = samplers(settings, model, runs)[1]
        if not isinstance(sampler, FlowImages):
            return ""
        words = apart_in_words(runs, sampler.model_dump()) or f"sampled with {described(sampler.model_dump())}"
        return words[0].upper() + words[1:]

    @abstractmethod
    def cost(self, settings: S, steps: int) -> ProtocolCost:
        """Returns the cost of one row with a sampler of ``steps`` steps if the store is empty."""

    def table(
        self,
        frames: Mapping[str, pd.DataFrame],
        settings: S,
        about: str = "",
        *,
        name: str | None = None,
        published: PublishedValues | None = None,
        quick: bool = False,
        level: float = LEVEL,
        steps: int = SamplerConfig().steps,
    ) -> Table:
        """Returns the table of frames by row label, with intervals.

        ``about`` (model, prompts, reward) starts the caption; ``published`` values are shown beside ours. ``steps`` is
        the number of steps of the sampler, for the cost.
        """
        sentence = f"{about.rstrip('. ')}. " if about else ""
        style = TableStyle(name or self.name, sentence, published or {}, quick, level, steps)
        return self.make_table(frames, settings, style)

    def sections(
        self, asked: Mapping[str, Request[S]], frames: Mapping[str, pd.DataFrame], table: Table
    ) -> Sequence[Section]:
        """Returns the parts of a page beside the table, such as pictures; requests and frames are by row label."""
        return ()

    @abstractmethod
    def make_table(self, frames: Mapping[str, pd.DataFrame], settings: S, style: TableStyle) -> Table:
        """Returns what ``table`` returns."""


def samplers(
    settings: ProtocolSettings, model: str | LocalModel, runs: Sequence[Mapping[str, Any]]
) -> tuple[Sampler, Sampler]:
    """Returns the samplers of training and evaluation; ``runs`` are settings of runs, of which the first counts."""
    of_run: Mapping[str, Any] = next((run["sampler"] for run in runs if "sampler" in run), {})
    sampler = settings.sampler or trained_with(model, of_run)
    return sampler.rollout, sampler.evaluation


@dataclass(frozen=True)
class Target:
    """A model, prompts and a reward to measure: all that decides the rows beside the protocol's settings."""

    model: LocalModel
    model_hash: str
    adapter: Adapter | None
    sampler: Sampler
    """The sampler of the training, whose steps are measured."""
    evaluation: Sampler
    """The sampler of the images that are scored."""
    device: str
    dtype: str
    prompts: PromptSet
    reward: type[Reward]

    def key(self) -> dict[str, Any]:
        """Returns the JSON-able identity, which has hashes, and neither the device nor the model's name."""
        return {
            "model": self.model_hash,
            "adapter": self.adapter.hash if self.adapter else None,
            "sampler": self.sampler.model_dump(mode="json"),
            "dtype": self.dtype,
            "prompts": self.prompts.hash_for(self.reward.needs),
            "reward": key_of_reward(self.reward),
        }

    @property
    def label(self) -> str:
        """The model's name, with the run's if there is one."""
        return f"{self.model} with {self.adapter.label}" if self.adapter else self.model.name


def find_target(asked: Request[Any]) -> Target:
    """Returns the target that the names of a request stand for; loads no weights.

    Raises UsageError for a mix of rewards, and what looking up rewards, runs, models and devices raises.
    """
    reward_class = lookup.as_class(asked.reward)
    if issubclass(reward_class, Ensemble):
        raise UsageError(
            f"{reward_class.name} cannot be measured by this protocol",
            "a mix of rewards has no scale of its own until it is normalised on a table's first row",
            "measure each of its rewards by itself",
        )
    refuse_sources(asked.prompts)
    check_needs(asked.prompts.name, asked.prompts.prompts, [reward_class])
    adapter = find_adapter(asked.store, asked.run) if asked.run is not None else None
    model = models.find(asked.model)
    if adapter:
        check_model([adapter], model, model.hash, asked.log)
    of_run = [adapter.settings] if adapter else []
    device, dtype = device_and_dtype(asked.device, asked.dtype)
    return Target(
        model,
        model.hash,
        adapter,
        *samplers(asked.settings, model, of_run),
        device,
        dtype,
        asked.prompts,
        reward_class,
    )

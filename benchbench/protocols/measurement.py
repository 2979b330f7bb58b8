"""What every protocol that measures something has in common: settings, a price, ``measure`` and ``table``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pydantic import Field

from benchbench.config import SamplerConfig
from benchbench.diffusion.cost import GRADIENT
from benchbench.errors import UsageError
from benchbench.hub.models import LocalModel
from benchbench.report.table import Table
from benchbench.rewards import lookup
from benchbench.runtime.files import Log
from benchbench.stats.intervals import LEVEL
from benchbench.store.runs import Adapter, adapter
from benchbench.types import PromptSet, Reward, Settings

if TYPE_CHECKING:
    import pandas as pd

Run = str | Path | Adapter | None
"""A training by its run id, run folder or adapter folder, or as it was found; None: the base model."""
Published = Mapping[tuple[str, str], float]


class MeasureSettings(Settings):
    """What every protocol can be told."""

    seed: int = Field(0, ge=0, description="of the noise")
    sampler: SamplerConfig | None = Field(None, description="none: the one that the run was trained with")


S = TypeVar("S", bound=MeasureSettings)


@dataclass(frozen=True)
class Price:
    """Counted work: guided UNet evaluations without and with gradient, decoded images, reward calls."""

    unet_evals: int = 0
    unet_grads: int = 0
    decodes: int = 0
    reward_calls: int = 0
    gradient: str = "lora"
    """The kind of gradient that is counted: a name in ``benchbench.diffusion.cost.GRADIENT``."""

    @property
    def nfe(self) -> float:
        """All UNet evaluations as evaluations without gradient."""
        return self.unet_evals + GRADIENT[self.gradient] * self.unet_grads

    def __str__(self) -> str:
        grads = f" and {self.unet_grads:,} with gradient" if self.unet_grads else ""
        return (
            f"{self.unet_evals:,} guided UNet evaluations{grads}, {self.decodes:,} decoded images, "
            f"{self.reward_calls:,} reward calls"
        )


class Measurement(ABC, Generic[S]):
    """A protocol. ``measure`` makes only what the store lacks; ``quick`` is its settings under --quick.

    Frames are tidy: the unit (prompt_index, prompt, sample), the step ``k`` where there is one, value columns; a caller
    that puts several trainings into one row adds ``train_seed``.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    schema: ClassVar[int] = 1  # raised when the same settings would mean other numbers
    has_base: ClassVar[bool] = True  # whether the base model is a row of its own
    dtype: ClassVar[str | None] = None  # the only precision that it can be measured in
    compared: ClassVar[tuple[str, tuple[str, ...]] | None] = None  # a setting, and its values where none is named
    Settings: ClassVar[type[MeasureSettings]]
    quick: S

    @abstractmethod
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
        """Rows of one model (``run`` None: the base) under one reward, from the store where it has them.

        Errors: UsageError, MissingError, CorruptError, RunError.
        """

    def precision(self, dtype: str, device: str | None) -> str:
        """The precision that a measurement asked for in ``dtype`` is made in.

        Errors: UsageError for an unknown word, and where the protocol is defined in another precision alone.
        """
        from benchbench.diffusion import backbones

        found = backbones.pick_dtype(self.dtype or dtype, backbones.pick_device(device))
        if self.dtype and dtype not in ("auto", self.dtype):
            raise UsageError(
                f"{self.name} cannot be measured in {dtype}",
                "rounding in that precision is as large as what it measures",
                f"leave --dtype away, or say --dtype {self.dtype}",
            )
        return found

    @abstractmethod
    def cost(self, settings: S, steps: int) -> Price:
        """What it takes with a sampler of ``steps`` steps when nothing is in the store."""

    @abstractmethod
    def table(
        self,
        frames: Mapping[str, pd.DataFrame],
        settings: S,
        about: str = "",
        *,
        name: str | None = None,
        published: Published | None = None,
        quick: bool = False,
        level: float = LEVEL,
    ) -> Table:
        """Frames by row label as a table with intervals; ``about`` (model, prompts, reward) goes into the caption."""


@dataclass(frozen=True)
class Target:
    """Whom a measurement looks at, by hashes: everything that decides its numbers but its own settings."""

    model: LocalModel
    model_hash: str
    adapter: Adapter | None
    sampler: SamplerConfig
    device: str
    dtype: str
    prompts: PromptSet
    reward: type[Reward]

    def key(self) -> dict[str, Any]:
        """JSON-able identity; device and what the model is called are not in it."""
        return {
            "model": self.model_hash,
            "adapter": self.adapter.hash if self.adapter else None,
            "sampler": self.sampler.model_dump(mode="json"),
            "dtype": self.dtype,
            "prompts": self.prompts.hash,
            "reward": [self.reward.name, self.reward.version],
        }

    @property
    def label(self) -> str:
        """The model's name, and the run's where there is one."""
        return f"{self.model} with {self.adapter.label}" if self.adapter else self.model.name


def target(
    model: str | LocalModel,
    run: Run,
    prompts: PromptSet,
    reward: str | type[Reward],
    settings: MeasureSettings,
    store: Path,
    device: str | None,
    dtype: str,
    log: Log,
) -> Target:
    """Resolves names to hashes and loads no weights. Errors: those of names, runs and models."""
    from benchbench.diffusion import backbones
    from benchbench.evaluate.rows import check_model
    from benchbench.hub import models
    from benchbench.rewards.mix import Ensemble

    kind = lookup.as_class(reward)
    if issubclass(kind, Ensemble):
        raise UsageError(
            f"{kind.name} cannot be measured by this protocol",
            "a mix of rewards has no scale of its own until it is normalised on a table's first row",
            "measure each of its rewards by itself",
        )
    found = adapter(store, run) if run is not None else None
    here = models.find(model)
    if found:
        check_model([found], here, here.own_hash, log)
    used = found.settings.get("sampler", {}) if found else {}
    sampler = settings.sampler or SamplerConfig.model_validate(used)
    where = backbones.pick_device(device)
    precision = backbones.pick_dtype(dtype, where)
    return Target(here, here.own_hash, found, sampler, str(where), precision, prompts, kind)

"""A search: the trainings that it tries. A file keeps it, by which `bench status` and a later command find it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchbench import config as configs
from benchbench import defaults, presets, registry
from benchbench.config import RunConfig
from benchbench.errors import UsageError
from benchbench.reproduce.budget import Budget, equal_budget
from benchbench.reproduce.kept import every_checkpoint
from benchbench.reproduce.plan import unsuitable_reward
from benchbench.rewards import lookup
from benchbench.runtime.hashing import digest
from benchbench.runtime.names import safe_name
from benchbench.runtime.yaml_files import read_yaml

RATES = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3)
SEEDS = (100, 101)
"""Tuning seeds are 100 to 199; trainings that are compared have seeds below 100."""
FIRST_TUNING_SEED = 100
IMAGES = 2
"""Images of each validation prompt and checkpoint."""
MAX_LOSS = 0.05
FOLDER, SUFFIX = "tunings", ".tune.yaml"


class Search(BaseModel):
    """The trainings of a search, how they are measured, and the rule of choice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str
    model: str
    reward: str
    prompts: str
    validation: str
    pairs: str | None = None
    guard: str | None
    """The reward that must not fall. None: there is none, and the most reward alone decides."""
    max_loss: float = Field(ge=0)
    rates: tuple[float, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field(min_length=1)
    preset: str
    """The preset that has all other settings."""
    budget: Budget

    @property
    def name(self) -> str:
        """The name of the search's files, which its content decides."""
        words = "-".join(Path(word).name for word in (self.method, self.model, self.reward))
        return f"{safe_name(words)}-{digest(self.model_dump(mode='json'))[:8]}"

    def file(self, store: Path) -> Path:
        """Returns the path of the search's file in a store."""
        return store / FOLDER / f"{self.name}{SUFFIX}"

    def training(self, rate: float, seed: int) -> tuple[RunConfig, tuple[str, ...]]:
        """Returns the settings of one training and the words of ``--set`` behind them."""
        words = (
            f"{presets.RATE}={rate:g}",
            f"train.keep_every={every_checkpoint(self.budget.samples)}",
            "train.eval_every=0",
        )
        names = (self.method, self.model, self.reward, self.prompts)
        return configs.load(*names, self.budget.samples, seed, self.preset, words, self.pairs), words


def make_search(
    method: str,
    model: str,
    reward: str,
    *,
    prompts: str | None = None,
    validation: str | None = None,
    pairs: str | None = None,
    guard: str | None = None,
    max_loss: float = MAX_LOSS,
    budget: int | None = None,
    count_pairs: bool = False,
    rates: Sequence[float] = RATES,
    seeds: Sequence[int] = SEEDS,
) -> Search:
    """Returns the search with the defaults of the model. Errors: UsageError for what cannot be searched.

    With ``count_pairs`` the budget pays for the images of the pairs, as in a sweep.
    """
    known = defaults.of(model)
    prompts, validation = prompts or known.prompts, validation or known.validation
    if len(set(rates)) < len(rates) or not seeds:
        raise UsageError("the search has no plan", "a rate comes twice, or there is no seed", "name each rate once")
    if validation == prompts or validation.endswith(".test"):
        cause = "settings are chosen on neither training nor test prompts"
        raise UsageError(f"{validation} cannot be the validation prompts", cause, "name another set as --validation")
    preset = presets.default_preset(method, model)
    offline = registry.get("methods", method).data == "offline"
    pairs = (pairs or known.pairs) if offline else pairs
    own = configs.load(method, model, reward, prompts, 1, 0, preset, pairs=pairs)
    if reason := unsuitable_reward(own):
        raise UsageError(f"{method} cannot be tuned with {reward}", reason, "name another --reward")
    if not lookup.get(reward).trainable:
        raise UsageError(f"{reward} is never trained on", "it is kept to judge trainings", "name another --reward")
    guard = lookup.resolve(guard, model)[0] if guard else known.gold_reward
    if guard == reward:
        raise UsageError(f"{reward} cannot guard itself", "a guard is a reward that is not trained on", "name another")
    return Search(
        method=method,
        model=model,
        reward=reward,
        prompts=prompts,
        validation=validation,
        pairs=pairs,
        guard=guard,
        max_loss=max_loss,
        rates=tuple(sorted(rates)),
        seeds=tuple(seeds),
        preset=preset,
        budget=equal_budget(own, budget or known.samples, count_pairs=count_pairs),
    )


def is_search(name: str) -> bool:
    """Returns whether a word names the file of a search."""
    return name.endswith(SUFFIX)


def read(file: Path) -> Search:
    """Returns the search of a file. Errors: UsageError."""
    try:
        return Search.model_validate(read_yaml(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError, ValidationError) as error:
        cause = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise UsageError(
            f"the search {file} cannot be read", cause, "run the same bench tune command, which writes it"
        ) from error

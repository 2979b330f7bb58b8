"""The schema of a sweep's YAML file, and errors that name the line and the nearest name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from benchbench.errors import UsageError

SUFFIXES = (".yaml", ".yml")
Count = Annotated[int, Field(strict=True, gt=0)]
Name = Annotated[str, Field(min_length=1)]


def is_sweep(name: str) -> bool:
    """Returns whether a word names a sweep's file and no table."""
    return name.endswith(SUFFIXES)


class SweepFile(BaseModel):
    """A table of methods, rewards, seeds and settings. Each method with each combination of settings is a row."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    title: str = ""
    model: Name
    methods: list[Name] = Field(min_length=1)
    rewards: list[Name] = Field(min_length=1)
    """The columns; each has its own trainings, on its reward, unless ``train_reward`` is given."""
    train_reward: Name | None = None
    """The reward of all trainings."""
    reward_of: dict[str, Name] = {}
    """The training reward of single methods, by method, as of one that needs a step-aware reward."""
    seeds: list[Annotated[int, Field(strict=True, ge=0)]] = Field([0, 1, 2], min_length=1)
    set: dict[str, Annotated[list[Any], Field(min_length=1)]] = {}
    """The values of each setting that is swept, by its name as ``train.lora_rank``."""
    samples: Count | None = None
    """Images a training. None: those of the method's preset or the model."""
    budget: Count | None = None
    """Work of a training, in images of DDPO: each method gets as many images as cost no more. It replaces samples.

    The images of pairs that are made for a method are a part of its work.
    """
    of_method: dict[str, dict[str, Any]] = {}
    """Settings of single methods, by method and by the setting's name as ``train.lr``."""
    train_prompts: Name | None = None
    """None: the prompt set of the model."""
    prompts: dict[str, Count] = Field(min_length=1)
    """The images of each prompt, by prompt set."""
    pairs: Name | None = None
    """The preference pairs of offline methods. None: those of the model."""
    stop: Name | None = None
    """Validation prompts on which each training is stopped in time; docs/sweeps.md says how."""
    guard: Name | None = None
    """The reward that must not fall. None: the model's gold reward."""
    best_of: list[Annotated[int, Field(strict=True, ge=2)]] = []
    """A row for each number: of so many images of the base model, the one that the trained reward likes most."""
    claims: list[Name] = []
    """Orders of two rows that are stated before anything is run, as ``tailorpo > d3po``."""

    @field_validator("methods", "rewards", "seeds", "set", "best_of", "claims")
    @classmethod
    def _once_each(cls, value: Any) -> Any:
        for values in value.values() if isinstance(value, dict) else [value]:
            shown = [str(word) for word in values]
            twice = next((word for word in shown if shown.count(word) > 1), None)
            if twice is not None:
                raise ValueError(f"{twice} comes twice")
        return value

    @model_validator(mode="after")
    def _one_size(self) -> SweepFile:
        if self.budget and self.samples:
            raise ValueError("budget and samples both say how many images a training has; leave one out")
        return self


class SweepText:
    """A sweep's file as text, in which fields have lines."""

    def __init__(self, path: Path) -> None:
        """Reads the file. Raises UsageError where it cannot be read, or is no YAML."""
        self.path = path
        try:
            text = path.read_text(encoding="utf-8")
            self._root = yaml.compose(text, Loader=yaml.SafeLoader)
            self._value = yaml.safe_load(text)
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            cause = " ".join(str(getattr(error, "strerror", None) or error).split())
            raise UsageError(
                f"the sweep {path} cannot be read", cause, "name a YAML file as docs/sweeps.md shows"
            ) from error

    def parse(self) -> SweepFile:
        """Returns the content. Raises UsageError that names every wrong field."""
        if not isinstance(self._value, dict):
            raise self.wrong([((), "it needs fields as model: shapes")])
        try:
            return SweepFile.model_validate(self._value)
        except ValidationError as error:
            raise self.wrong([(item["loc"], _message(item)) for item in error.errors()]) from error

    def wrong(self, errors: Iterable[tuple[Sequence[str | int], str]]) -> UsageError:
        """Returns the error for wrong fields, each as its place and what is wrong with it."""
        causes = [f"line {self._line(place)}, {_field(place)}: {message}" for place, message in errors]
        return UsageError(
            f"the sweep {self.path} is wrong", "; ".join(causes), "correct the file; docs/sweeps.md names every field"
        )

    def _line(self, place: Sequence[str | int]) -> int:
        """Returns the line of a field, or of the nearest thing around it that the file has."""
        node, line = self._root, 1
        for part in place:
            if isinstance(node, yaml.MappingNode):
                pairs = [(key, value) for key, value in node.value if key.value == str(part)]
                if not pairs:
                    break
                line, node = pairs[0][0].start_mark.line + 1, pairs[0][1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line + 1
            else:
                break
        return line


def _field(place: Sequence[str | int]) -> str:
    words = [f"item {part + 1}" if isinstance(part, int) else str(part) for part in place]
    return ", ".join(words) or "the file"


def _message(item: Any) -> str:
    """Returns a fault that pydantic found, with the nearest field for an unknown one."""
    if item["type"] == "extra_forbidden":
        names = list(SweepFile.model_fields)
        near = difflib.get_close_matches(str(item["loc"][-1]), names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}"
        return f"there is no such field; {hint}"
    if item["type"] == "missing":
        return "it is missing"
    message: str = item["msg"].removeprefix("Value error, ")
    return message[0].lower() + message[1:]

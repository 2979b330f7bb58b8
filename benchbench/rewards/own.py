"""Makes a reward of fine-tuned weights: a ``reward.yaml`` beside them says whose architecture they have.

.. code-block:: yaml

    like: pickscore
    version: "2026-11"
    weights: model.safetensors

The name of the folder is the reward's name. The sha256 of the weights is a part of its version, so that scores of two
sets of weights are never taken for each other.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError, model_validator

from benchbench import registry
from benchbench.errors import CorruptError, MissingError, UsageError
from benchbench.hub.assets import Asset
from benchbench.registry.entries import built_in, plugins
from benchbench.runtime.hashing import cached_sha256
from benchbench.runtime.yaml_files import read_yaml
from benchbench.types import Reward

EXAMPLE = 'write three lines: like: pickscore, version: "1" and weights: model.safetensors (reward_models/README.md)'


class OwnReward(BaseModel):
    """The content of a ``reward.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    like: StrictStr
    """The reward whose architecture, preprocessing and unit the weights have."""
    version: StrictStr = Field(min_length=1, max_length=64, pattern=r"^[\w.+-]+$")
    weights: StrictStr
    """The file in the folder of the ``reward.yaml``."""
    range: tuple[float, float] | None = None
    """The usual scores, low and high. None: those of ``like``."""
    licence: StrictStr = "not stated"

    @model_validator(mode="after")
    def _check_range(self) -> OwnReward:
        if self.range and self.range[0] >= self.range[1]:
            raise ValueError("range: the first number is not below the second")
        return self


@dataclass(frozen=True)
class OwnFile(Asset):
    """A file in the folder of a ``reward.yaml``, which takes the place of the released one."""

    folder: Path = Path()

    def missing(self) -> str | None:
        """Returns the path that does not exist, or None."""
        return None if self.find() else f"{self.folder / self.files[0][0]} does not exist"

    def check(self, location: str, path: Path, sha256: str) -> None:
        """Raises CorruptError where the file was replaced since its hash became a part of the reward's version."""
        if sha256 != self.sha256[path.name]:
            raise CorruptError(f"{path} has changed", "it was replaced while this command ran", "run the command again")

    def _locations(self) -> list[tuple[str, tuple[Path, ...] | None]]:
        return [(str(self.folder), self._in_folder(self.folder))]


def reward_class(file: Path) -> type[Reward]:
    """Returns the class of the reward that a ``reward.yaml`` describes.

    Raises UsageError for a file that cannot be understood, and MissingError where its weights are not there.
    """
    own, name = _read(file), file.parent.name
    weights = file.parent / own.weights
    if Path(own.weights).name != own.weights:
        cause = f"weights: {own.weights!r} is no name of a file in this folder"
        raise _bad(file, cause, "put the file there, or a link to it, and write its name")
    if not weights.is_file():
        cause = f"{weights} does not exist"
        raise MissingError(f"the reward {name} has no weights", cause, f"put the file there, or correct {file}")
    return _class(name, own, file.parent, cached_sha256(weights))


def _read(file: Path) -> OwnReward:
    try:
        content = read_yaml(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise _bad(file, "it is no list of settings with values", EXAMPLE)
        return OwnReward.model_validate(content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _bad(file, " ".join(str(error).split()), EXAMPLE) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        quotes = "; a number is no version: put it in quotes" if first["type"] == "string_type" else ""
        raise _bad(file, f"{place}: {first['msg']}{quotes}" if place else first["msg"], EXAMPLE) from error


@functools.lru_cache(maxsize=32)
def _class(name: str, own: OwnReward, folder: Path, sha256: str) -> type[Reward]:
    others = [entry.name for entry in (*built_in("rewards"), *plugins("rewards"))]
    base: Any = registry.get("rewards", own.like) if own.like in others else None
    if not _takes_weights(base):
        able = [known for known in others if _takes_weights(registry.get("rewards", known))]
        raise registry.unknown("reward that takes weights of your own and is called", own.like, able, EXAMPLE)
    place: int = getattr(base, "own_asset", 0)
    file = OwnFile(
        title=f"the weights of {name}",
        repos=(),
        files=((own.weights,),),
        size=base.assets[place].size if base.assets else "",
        licence=own.licence,
        sha256={own.weights: sha256},
        folder=folder,
    )
    attributes = {
        "name": name,
        "version": f"{own.version}+{sha256[:12]}",
        "weights": f"your own, {own.weights} ({own.licence})",
        "assets": tuple(file if i == place else asset for i, asset in enumerate(base.assets or [file])),
        "range": own.range or base.range,
        "__module__": base.__module__,
        "__doc__": f"{own.like} with weights of your own.\n\n{base.__doc__}",
    }
    made: type[Reward] = type(base.__name__, (base,), attributes)
    return made


def _takes_weights(reward: Any) -> bool:
    """Returns whether a reward reads its network from a file, or can: one of the shapes world has shipped weights."""
    if getattr(reward, "takes_own_file", False):
        return True
    return getattr(reward, "own_asset", len(getattr(reward, "assets", ()))) < len(getattr(reward, "assets", ()))


def _bad(file: Path, cause: str, remedy: str) -> UsageError:
    return UsageError(f"{file} describes no reward", cause, remedy)

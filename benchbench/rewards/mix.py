"""A weighted sum of rewards, each normalised first: what the papers recommend against the hacking of a single one.

Written ``pickscore=0.5,aesthetic=0.3`` on the command line, as a mapping in YAML. A member's score is normalised by the
mean and deviation that it has on images of the base model: in training on images made before the first step, in
an evaluation on the base row, in ``bench score`` on all images given. They are printed and saved, and never change
afterwards. Imports no torch.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from benchbench import registry
from benchbench.errors import RunError, UsageError
from benchbench.hub.assets import Asset
from benchbench.rewards.scoring import scoring
from benchbench.runtime.files import Log
from benchbench.runtime.json_files import find_object, write_json
from benchbench.types import Reward

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image


class Statistics(NamedTuple):
    """Of one member's scores, over so many images."""

    mean: float
    deviation: float
    images: int


def is_mix(text: str) -> bool:
    """Whether a reward's name is a mix of others."""
    return "=" in text


def canonical(mix: str | Mapping[str, float]) -> str:
    """One spelling for each mix: members in the order of the alphabet. Errors: UsageError."""
    words: dict[str, float] = {}
    pairs = [part.partition("=")[::2] for part in mix.split(",")] if isinstance(mix, str) else list(mix.items())
    for raw, value in pairs:
        name = raw.strip()
        try:
            weight = float(value)
        except (TypeError, ValueError):
            weight = math.nan
        if not name or not math.isfinite(weight) or weight == 0:
            raise _bad(mix, f"{name}={value} is not a name and a weight other than 0")
        if name in words:
            raise _bad(mix, f"{name} is named twice")
        words[name] = weight
    return ",".join(f"{name}={words[name]:g}" for name in sorted(words))


def weights(name: str) -> dict[str, float]:
    """The weights by member of a canonical name."""
    return {member: float(value) for member, _, value in (part.partition("=") for part in name.split(","))}


@functools.lru_cache(maxsize=32)
def make(text: str) -> type[Ensemble]:
    """The reward class of a mix. Errors: UsageError for a member that does not exist."""
    mix = canonical(text)
    kinds: dict[str, type[Reward]] = {name: registry.get("rewards", name) for name in weights(mix)}
    assets: list[Asset] = []
    for kind in kinds.values():
        assets += [asset for asset in kind.assets if asset not in assets]
    return type(
        "Ensemble",
        (Ensemble,),
        {
            "__doc__": f"Weighted sum of {mix}, each member normalised by its mean and deviation on the base model.",
            "name": mix,
            "version": " + ".join(f"{name} {kind.version}" for name, kind in kinds.items()),
            "differentiable": all(kind.differentiable for kind in kinds.values()),
            "trainable": all(kind.trainable for kind in kinds.values()),
            "weights": "; ".join(dict.fromkeys(kind.weights for kind in kinds.values())),
            "assets": tuple(assets),
            "kinds": kinds,
        },
    )


class Ensemble(Reward):
    """sum of w_i (r_i - mean_i) / deviation_i. ``calibrate`` or ``statistics`` come before the first score."""

    unit: ClassVar[str] = "weighted deviations from the base model"
    range: ClassVar[tuple[float, float]] = (-10.0, 10.0)
    kinds: ClassVar[dict[str, type[Reward]]]

    def __init__(self, device: torch.device | str = "cpu") -> None:
        super().__init__(device)
        self.members = {name: kind(device) for name, kind in self.kinds.items()}
        self.statistics: dict[str, Statistics] = {}

    @classmethod
    def missing(cls) -> str | None:
        found = [said for kind in cls.kinds.values() if (said := kind.missing())]
        return "; ".join(dict.fromkeys(found)) or None

    @classmethod
    def combine(cls, scores: Mapping[str, Any], statistics: Mapping[str, Statistics]) -> Any:
        """The weighted sum of members' scores, given as arrays or tensors [N]."""
        terms = [
            weight * (scores[name] - statistics[name].mean) / statistics[name].deviation
            for name, weight in weights(cls.name).items()
        ]
        return sum(terms[1:], terms[0])

    def calibrate(self, images: Sequence[Image], prompts: Sequence[str]) -> None:
        """Takes the members' means and deviations from these images."""
        found = {name: scoring(member)(images, prompts).tolist() for name, member in self.members.items()}
        self.statistics = measured(found)

    def expect(self, prompts: Sequence[str]) -> None:
        for member in self.members.values():
            member.expect(prompts)

    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> torch.Tensor:
        parts = {name: member.score(images, prompts) for name, member in self.members.items()}
        return self._combined(parts)

    def score_differentiable(self, images: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        if not self.differentiable:
            return super().score_differentiable(images, prompts)
        return self._combined(
            {name: member.score_differentiable(images, prompts) for name, member in self.members.items()}
        )

    def _combined(self, scores: Mapping[str, torch.Tensor]) -> torch.Tensor:
        if not self.statistics:
            raise RunError(
                f"the ensemble {self.name} was asked for scores before it was calibrated",
                "its members have no mean and deviation yet",
                "call calibrate with images of the base model, or set statistics",
            )
        out: torch.Tensor = self.combine(scores, self.statistics)
        return out


def measured(scores: Mapping[str, Sequence[float]]) -> dict[str, Statistics]:
    """Mean and deviation by member. Errors: RunError where a member gives all images one score."""
    import numpy as np

    found = {}
    for name, values in scores.items():
        mean, deviation = float(np.mean(values)), float(np.std(values))
        if not deviation > 1e-8 * max(1.0, abs(mean)):
            raise RunError(
                f"{name} cannot be normalised",
                f"it gave all {len(values)} images the score {mean:g}",
                "calibrate on more images, or leave that reward out",
            )
        found[name] = Statistics(mean, deviation, len(values))
    return found


def tell(name: str, statistics: Mapping[str, Statistics], of: str, log: Log) -> None:
    """Says what each member is normalised by."""
    for member, s in statistics.items():
        log(f"{name}: {member} is normalised by mean {s.mean:.5g}, deviation {s.deviation:.5g} ({s.images} {of})")


def save(path: Path, name: str, statistics: Mapping[str, Statistics], of: str) -> None:
    """Writes them as JSON."""
    data = {"reward": name, "of": of, "statistics": {member: s._asdict() for member, s in statistics.items()}}
    write_json(path, data)


def read(path: Path) -> dict[str, Statistics] | None:
    """Returns what ``save`` wrote, or None where the file is missing or damaged."""
    try:
        members = (find_object(path) or {})["statistics"]
        return {member: Statistics(**values) for member, values in members.items()}
    except (KeyError, TypeError, AttributeError):
        return None


def _bad(mix: object, cause: str) -> UsageError:
    return UsageError(f"{mix!r} is not a mix of rewards", cause, "write it as pickscore=0.5,aesthetic=0.3")

"""A mix of normalised rewards, which papers recommend against hacking of a single reward.

It is written ``pickscore=0.5,aesthetic=0.3`` on the command line, and as a mapping in YAML: a weighted sum. With
``lowest:`` before it, the lowest of the weighted members counts, with ``mean-sd:`` their mean less their standard
deviation, as for ensembles of scorers that were trained on one thing (Coste et al., arXiv:2310.02743). Each member's
score is normalised by its mean and deviation on images of the base model: in training, images generated before the
first step; in an evaluation, the base row; in ``bench score``, all images given. The statistics are printed, saved and
then fixed.
Imports no torch, and numpy only inside a function.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from benchbench import registry, reward_calls
from benchbench.errors import RunError, UsageError
from benchbench.hub.assets import Asset
from benchbench.rewards.http_address import has_address
from benchbench.rewards.mix_rule import CAUTIOUS, SUM, Rule, split_rule, with_rule
from benchbench.rewards.scoring import scoring
from benchbench.runtime.files import Log
from benchbench.runtime.sealed import find_sealed, write_sealed
from benchbench.types import Reward

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image


WORDS: dict[Rule, str] = {"sum": "Weighted sum", "lowest": "Lowest", "mean-sd": "Mean less standard deviation"}
SMALLEST_VARIANCE = 1e-12
"""Keeps the gradient of the standard deviation finite where all members agree."""


class Statistics(NamedTuple):
    """Mean and deviation of one member's scores over a number of images."""

    mean: float
    deviation: float
    images: int


def canonical(mix: str | Mapping[str, float]) -> str:
    """Returns the canonical name of a mix, with members in alphabetical order. Raises UsageError."""
    by_name: dict[str, float] = {}
    rule, text = split_rule(mix) if isinstance(mix, str) else (SUM, mix)
    pairs = [part.partition("=")[::2] for part in text.split(",")] if isinstance(text, str) else list(text.items())
    for raw, value in pairs:
        name = raw.strip()
        if ":" in name and not has_address(name):
            word = name.partition(":")[0]
            wrong = "stands once, before the first member" if word in CAUTIOUS else "is no rule"
            raise _bad(mix, f"{word} {wrong}; the rules are {' and '.join(CAUTIOUS)}")
        try:
            weight = float(value)
        except (TypeError, ValueError):
            weight = math.nan
        if not name or not math.isfinite(weight) or weight == 0:
            raise _bad(mix, f"{name}={value} is not a name and a weight other than 0")
        if name in by_name:
            raise _bad(mix, f"{name} is named twice")
        by_name[name] = weight
    if rule != SUM and len(by_name) < 2:
        raise _bad(mix, f"{rule} needs two members or more")
    return with_rule(rule, ",".join(f"{name}={by_name[name]:g}" for name in sorted(by_name)))


def weights(name: str) -> dict[str, float]:
    """Returns the weight of each member, from a canonical name."""
    parts = (part.partition("=") for part in split_rule(name)[1].split(","))
    return {member: float(value) for member, _, value in parts}


@functools.lru_cache(maxsize=32)
def mix_class(text: str, *served: type[Reward]) -> type[Ensemble]:
    """Returns the reward class of a mix, whose members are registered or ``served``, that is, computed by a server.

    Raises UsageError for a member that does not exist.
    """
    mix, by_name = canonical(text), {member.name: member for member in served}
    members: dict[str, type[Reward]] = {
        name: by_name.get(name) or registry.get("rewards", name) for name in weights(mix)
    }
    classes = members.values()
    all_assets: list[Asset] = []
    for member in classes:
        all_assets += [asset for asset in member.assets if asset not in all_assets]

    class Mix(Ensemble):
        name = mix
        version = " + ".join(f"{name} {member.version}" for name, member in members.items())
        differentiable = all(member.differentiable for member in classes)
        trainable = all(member.trainable for member in classes)
        reads_prompt = any(member.reads_prompt for member in classes)
        needs = tuple(dict.fromkeys(field for member in classes for field in member.needs))
        notes = tuple(f"{name}: {note}" for name, member in members.items() for note in member.notes)
        weights = "; ".join(dict.fromkeys(member.weights for member in classes))
        assets = tuple(all_assets)
        reward_classes = members

    Mix.__doc__ = f"{WORDS[split_rule(mix)[0]]} of {mix}, each member normalised by its mean and deviation on the base."
    return Mix


class Ensemble(Reward):
    """The sum, or what the rule says, of w_i (r_i - mean_i) / deviation_i.

    Call ``calibrate`` or set ``statistics`` before the first score.
    """

    unit: ClassVar[str] = "weighted deviations from the base model"
    range: ClassVar[tuple[float, float]] = (-10.0, 10.0)
    reward_classes: ClassVar[dict[str, type[Reward]]]

    def __init__(self, device: torch.device | str = "cpu") -> None:
        super().__init__(device)
        self.members = {name: reward_calls.load(member, device) for name, member in self.reward_classes.items()}
        self.statistics: dict[str, Statistics] = {}

    @classmethod
    def missing(cls) -> str | None:
        """Returns a description of the members' missing files, or None."""
        problems = [p for member in cls.reward_classes.values() if (p := reward_calls.missing(member))]
        return "; ".join(dict.fromkeys(problems)) or None

    @classmethod
    def identity(cls) -> dict[str, str]:
        """Returns the identities of all members; their weights in the sum are in the name of the mix."""
        return {part: value for member in cls.reward_classes.values() for part, value in member.identity().items()}

    @classmethod
    def combine(cls, scores: Mapping[str, Any], statistics: Mapping[str, Statistics]) -> Any:
        """Returns one score from the members' weighted normalised scores, which are given as arrays or tensors [N]."""
        terms = [
            weight * (scores[name] - statistics[name].mean) / statistics[name].deviation
            for name, weight in weights(cls.name).items()
        ]
        return _by_rule(split_rule(cls.name)[0], terms)

    def calibrate(self, images: Sequence[Image], prompts: Sequence[str]) -> None:
        """Sets the members' means and deviations from their scores of these images. Raises RunError."""
        scores = {name: scoring(member)(images, prompts).tolist() for name, member in self.members.items()}
        self.statistics = member_statistics(scores)

    def expect(self, prompts: Sequence[str]) -> None:
        """Announces the prompts to every member."""
        for member in self.members.values():
            reward_calls.expect(member, prompts)

    def refuses(self, width: int, height: int) -> str | None:
        """Returns why a member cannot score images of this size, or None."""
        reasons = (f"{name}: {reason}" for name, m in self.members.items() if (reason := m.refuses(width, height)))
        return next(reasons, None)

    def prompt_warnings(self, prompts: Sequence[str]) -> list[str]:
        """Returns the lines of every member."""
        return [line for member in self.members.values() for line in member.prompt_warnings(prompts)]

    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> torch.Tensor:
        """Returns weighted sums for evaluation, float32 [N] on the CPU. Raises RunError before calibration."""
        scores = {name: reward_calls.score(member, images, prompts) for name, member in self.members.items()}
        return self._combined(scores)

    def score_differentiable(self, images: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        """Returns weighted sums [N] with a gradient, where every member has one. Raises RunError before calibration."""
        if not self.differentiable:
            return super().score_differentiable(images, prompts)
        call = reward_calls.score_differentiable
        return self._combined({name: call(member, images, prompts) for name, member in self.members.items()})

    def separate(self, images: torch.Tensor | Sequence[Image], prompts: Sequence[str]) -> torch.Tensor:
        """Returns the weighted sum and, after it, each member's score, [N, 1 + M], by one call of each member.

        A member whose weight is negative has its sign turned, so that larger is better. Images are a tensor
        [N, 3, H, W] in 0..1, or PIL images. Raises RunError before calibration.
        """
        import torch

        call: Any = reward_calls.score_differentiable if isinstance(images, torch.Tensor) else reward_calls.score
        scores = {name: call(member, images, prompts) for name, member in self.members.items()}
        signed = [scores[name] if weight > 0 else -scores[name] for name, weight in weights(self.name).items()]
        return torch.stack([self._combined(scores), *signed], 1)

    def _combined(self, scores: Mapping[str, torch.Tensor]) -> torch.Tensor:
        if not self.statistics:
            raise RunError(
                f"the mix {self.name} is not calibrated",
                "its members have no mean and deviation yet",
                "call calibrate with images of the base model, or set statistics",
            )
        combined: torch.Tensor = self.combine(scores, self.statistics)
        return combined


def _by_rule(rule: Rule, terms: Sequence[Any]) -> Any:
    """Returns what a rule makes of the terms, by operators that arrays and tensors with a gradient share."""
    if rule == "lowest":
        return functools.reduce(lambda a, b: (a < b) * a + (a >= b) * b, terms)
    total = sum(terms[1:], terms[0])
    if rule == SUM:
        return total
    mean = total / len(terms)
    squares = [(term - mean) ** 2 for term in terms]
    variance = sum(squares[1:], squares[0]) / len(terms)
    return mean - (variance + SMALLEST_VARIANCE) ** 0.5


def member_statistics(scores: Mapping[str, Sequence[float]]) -> dict[str, Statistics]:
    """Returns mean and deviation by member. Raises RunError where a member gives all images the same score."""
    import numpy as np

    statistics = {}
    for name, values in scores.items():
        mean, deviation = float(np.mean(values)), float(np.std(values))
        if not deviation > 1e-8 * max(1.0, abs(mean)):
            raise RunError(
                f"{name} cannot be normalised",
                f"all {len(values)} images have the score {mean:g}",
                "calibrate on more images, or leave this reward out",
            )
        statistics[name] = Statistics(mean, deviation, len(values))
    return statistics


def log_statistics(name: str, statistics: Mapping[str, Statistics], of: str, log: Log) -> None:
    """Logs the statistics of each member; ``of`` describes the images."""
    for member, s in statistics.items():
        log(f"{name}: {member} is normalised by mean {s.mean:.5g}, deviation {s.deviation:.5g} ({s.images} {of})")


def save_statistics(path: Path, reward: type[Ensemble], statistics: Mapping[str, Statistics], of: str) -> None:
    """Writes the statistics of a mix as JSON; ``of`` describes the images."""
    members = {member: s._asdict() for member, s in statistics.items()}
    write_sealed(path, {"reward": reward.name, "of": of, "inputs": reward.identity(), "statistics": members})


def read_statistics(path: Path, reward: type[Ensemble]) -> dict[str, Statistics] | None:
    """Returns the statistics that ``save_statistics`` wrote for this mix.

    Returns None where the file is missing or damaged, or where a member has other weights or another version now.
    """
    try:
        saved = find_sealed(path) or {}
        members, identity = saved["statistics"], reward.identity()
        if members.keys() != reward.reward_classes.keys() or saved.get("inputs", identity) != identity:
            return None
        return {member: Statistics(**values) for member, values in members.items()}
    except (KeyError, TypeError, AttributeError):
        return None


def _bad(mix: object, cause: str) -> UsageError:
    return UsageError(
        f"{mix!r} is not a mix of rewards", cause, "write it as pickscore=0.5,aesthetic=0.3 or lowest:a=1,b=1"
    )

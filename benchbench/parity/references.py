"""Names the reference package of each reward, and the unit of its score."""

from __future__ import annotations

from typing import NamedTuple

from benchbench import registry
from benchbench.parity.pins import version
from benchbench.reward_calls import missing
from benchbench.rewards import lookup
from benchbench.types import Reward


class Reference(NamedTuple):
    """The package and the calls with which the authors compute a score."""

    packages: tuple[str, ...]
    factor: float = 1.0
    """Our score over theirs."""

    @property
    def title(self) -> str:
        """The packages with their versions."""
        return ", ".join(version(package) for package in self.packages)


REFERENCES = {
    "imagereward": Reference(("image-reward",)),
    "hpsv2.0": Reference(("hpsv2",), 100.0),
    "hpsv2.1": Reference(("hpsv2",), 100.0),
    "pickscore": Reference(("transformers",)),
    "clip_h14": Reference(("open_clip_torch", "hpsv2")),
    "clip_l14": Reference(("openai-clip",)),
    "aesthetic": Reference(("openai-clip", "image-reward")),
}
"""By the reward's name. ``clip_h14`` resizes as hpsv2 does, and so does its reference."""


class Chosen(NamedTuple):
    """Reward classes by name, and what the others lack."""

    present: dict[str, type[Reward]]
    missing: dict[str, str]


def choose(names: list[str]) -> Chosen:
    """Returns the named rewards, or all of ``REFERENCES``. Raises UsageError for a name without a reference."""
    for name in names:
        if name not in REFERENCES:
            raise registry.unknown(
                "reward that an authors' package computes", name, REFERENCES, f"choose from {', '.join(REFERENCES)}"
            )
    classes = {name: lookup.get(name) for name in dict.fromkeys(names or REFERENCES)}
    lacking = {name: reason for name, reward in classes.items() if (reason := missing(reward))}
    return Chosen({name: reward for name, reward in classes.items() if name not in lacking}, lacking)

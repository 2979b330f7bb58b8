"""Computes the part of a key that stands for a reward, for measurements and made pairs."""

from __future__ import annotations

from benchbench.rewards.mix import Ensemble
from benchbench.runtime.code import code_sha256
from benchbench.types import Reward


def key_of_reward(reward_class: type[Reward]) -> list[object]:
    """Returns name and version, and for a plug-in the hash of its code; for a mix the same of each member follows."""
    key: list[object] = [reward_class.name, reward_class.version]
    if issubclass(reward_class, Ensemble):
        return [*key, *(key_of_reward(member) for member in reward_class.reward_classes.values())]
    code = code_sha256(reward_class)
    return [*key, code] if code else key

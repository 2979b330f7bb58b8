"""From a reward's name to its class: a registered one, a weighted mix of them, or the stand-in of one base model.

``mix`` is imported where a name is a mix: the base classes that it needs cost ``bench --help`` as much as all else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchbench import defaults, registry
from benchbench.errors import BenchError, MissingError

if TYPE_CHECKING:
    from benchbench.types import Reward


def get(name: str) -> type[Reward]:
    """Returns the class of a reward or of a mix like ``pickscore=0.5,aesthetic=0.3``. Errors: UsageError."""
    if "=" in name:
        from benchbench.rewards import mix

        return mix.make(name)
    found: type[Reward] = registry.get("rewards", name)
    return found


def require(name: str) -> type[Reward]:
    """Returns the class of a reward whose weights are here.

    Errors: UsageError, MissingError naming the command that gets the weights.
    """
    cls = get(name)
    missing = cls.missing()
    if missing:
        raise MissingError(
            f"the reward {name} has no weights on this machine", missing, f"bench fetch --rewards {name}"
        )
    return cls


def as_class(reward: str | type[Reward]) -> type[Reward]:
    """Returns the class that was found already, or the one of this name, whose weights are here. Errors: those of
    ``require``.
    """
    return require(reward) if isinstance(reward, str) else reward


def resolve(name: str, model: str) -> tuple[str, str | None]:
    """Returns the registered name of a reward for a base model, and a note to print where that is another one.

    A base model with rewards of its own has stand-ins: on shapes, ``aesthetic`` is ``shapes-aesthetic``.
    """
    if "=" in name:
        from benchbench.rewards import mix

        weights = mix.weights(mix.canonical(name))
        members = [(resolve(member, model), weight) for member, weight in weights.items()]
        notes = [note for (_, note), _ in members if note]
        return mix.canonical(",".join(f"{real}={weight}" for (real, _), weight in members)), "; ".join(notes) or None
    prefix = defaults.of(model).own_rewards
    stand_in = f"{prefix}{name}"
    if prefix and stand_in in registry.names("rewards"):
        return stand_in, f"on the {defaults.split_model(model)[0]} model the reward {name!r} is {stand_in!r}"
    registry.require("rewards", name)
    return name, None


def present() -> tuple[list[str], dict[str, str]]:
    """``--rewards all``: the rewards whose weights are here, and for the others why they are not."""
    skipped: dict[str, str] = {}
    for name in registry.names("rewards"):
        try:
            missing = get(name).missing()
        except BenchError as error:
            missing = error.cause
        if missing:
            skipped[name] = missing
    return [name for name in registry.names("rewards") if name not in skipped], skipped


def fits(name: str, model: str) -> bool:
    """Whether a reward judges the images of a base model: the model's own rewards do, and others where it has none."""
    prefix = defaults.of(model).own_rewards
    return name.startswith(prefix) if prefix else not name.startswith(defaults.OWN_REWARDS)

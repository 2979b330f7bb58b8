"""Looks up a reward's class by name: a registered reward, a weighted mix, a base model's stand-in, a server's address.

``mix`` and ``http_reward`` are imported only inside functions: they load pydantic, which ``bench --help`` may not do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchbench import defaults, registry, reward_calls
from benchbench.errors import BenchError, MissingError, UsageError
from benchbench.hub import families
from benchbench.rewards.http_address import has_address, is_served
from benchbench.rewards.mix_rule import is_mix, split_rule, with_rule

if TYPE_CHECKING:
    from benchbench.hub.models import LocalModel
    from benchbench.types import Reward


def get(name: str) -> type[Reward]:
    """Returns the class of a reward or of a mix such as ``pickscore=0.5,aesthetic=0.3``; asks servers that it names.

    Raises UsageError, and RunError for a server that does not answer.
    """
    name, _ = _ask_servers(name)
    if is_mix(name):
        from benchbench.rewards import mix

        members = mix.weights(mix.canonical(name))
        return mix.mix_class(name, *(get(member) for member in members if is_served(member)))
    if is_served(name):
        from benchbench.rewards import http_reward

        return http_reward.find(name)
    reward_class: type[Reward] = registry.get("rewards", name)
    return reward_class


def _ask_servers(name: str) -> tuple[str, list[str]]:
    """Returns a name with each address in it replaced by the name that its server states, and notes on these."""
    if not has_address(name):
        return name, []
    from benchbench.rewards import http_reward

    rule, members = split_rule(name)
    told, notes = http_reward.ask_names(members)
    return with_rule(rule, told), notes


def require(name: str) -> type[Reward]:
    """Returns the class of a reward whose weights are on this machine.

    Raises UsageError, or MissingError with the command that fetches the weights.
    """
    reward_class = get(name)
    missing = reward_calls.missing(reward_class)
    if missing:
        raise MissingError(
            f"the reward {name} has no weights on this machine", missing, f"bench fetch --rewards {name}"
        )
    return reward_class


def as_class(reward: str | type[Reward]) -> type[Reward]:
    """Returns a class as it is, and for a name the class that ``require`` returns, with its errors."""
    return require(reward) if isinstance(reward, str) else reward


def resolve(name: str, model: str) -> tuple[str, str | None]:
    """Returns the registered name of a reward for a base model, and a message where that differs from ``name``.

    A base model may have stand-ins for rewards: on shapes, ``aesthetic`` means ``shapes-aesthetic``. ``step-aware`` is
    the base model's own step-aware preference model. An address becomes the name that its server states.
    Raises UsageError, and RunError for a server that does not answer.
    """
    name, told = _ask_servers(name)
    if name == defaults.STEP_AWARE:
        return step_reward(model), None
    if is_mix(name):
        from benchbench.rewards import mix

        weights = mix.weights(mix.canonical(name))
        members = [(resolve(member, model), weight) for member, weight in weights.items()]
        notes = told + [note for (_, note), _ in members if note]
        words = ",".join(f"{registered}={weight}" for (registered, _), weight in members)
        return mix.canonical(with_rule(split_rule(name)[0], words)), "; ".join(notes) or None
    if is_served(name):
        return name, "; ".join(told) or None
    prefix = defaults.of(model).reward_prefix
    stand_in = f"{prefix}{name}"
    if prefix and stand_in in registry.names("rewards"):
        return stand_in, f"on the {defaults.split_model(model)[0]} model the reward {name!r} is {stand_in!r}"
    registry.require("rewards", name)
    return name, None


def present() -> tuple[list[str], dict[str, str]]:
    """Returns the rewards whose weights are on this machine, and for each other reward what is missing."""
    skipped: dict[str, str] = {}
    for name in registry.names("rewards"):
        try:
            missing = reward_calls.missing(get(name))
        except BenchError as error:
            missing = error.cause
        if missing:
            skipped[name] = missing
    return [name for name in registry.names("rewards") if name not in skipped], skipped


def fetchable(name: str) -> bool:
    """Returns whether `bench fetch` can get what a reward lacks; it cannot help one that does not load."""
    try:
        return bool(get(name).assets)
    except BenchError:
        return False


def fits(name: str, model: str) -> bool:
    """Returns whether a reward can score a base model's images: one of the model's own rewards, if it has any."""
    prefix = defaults.of(model).reward_prefix
    if not (name.startswith(prefix) if prefix else not name.startswith(defaults.REWARD_PREFIXES)):
        return False
    try:
        return unfit(get(name), model) is None
    except BenchError:  # a plug-in that does not load, which is told where it is used
        return True


def step_reward(model: str) -> str:
    """Returns the name of a base model's step-aware preference model; a folder's files tell whose it is."""
    return defaults.of(families.family(model) or model).step_reward


def unfit(reward_class: type[Reward], model: str | LocalModel) -> str | None:
    """Returns why a reward's weights cannot judge a base model's images, or None. A mix is as unfit as its members."""
    for member in getattr(reward_class, "reward_classes", {"": reward_class}).values():
        family = families.family(model) if member.base else ""
        if family and family != member.base:
            made_for, asked = families.NAMES[member.base], families.NAMES[family]
            return f"the weights of {member.name} were made for {made_for}, and {model} is {asked}"
    return None


def check_base(reward_class: type[Reward], model: str | LocalModel) -> None:
    """Raises UsageError for a reward whose weights belong to another base model."""
    reason = unfit(reward_class, model)
    if reason:
        own = step_reward(str(model))
        known = unfit(get(own), model) is None
        raise UsageError(
            f"the reward {reward_class.name} cannot judge images of {model}",
            reason,
            f"use --reward {own}" if known else "use a reward of finished images: bench list rewards",
        )

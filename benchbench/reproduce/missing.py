"""The files that a plan needs and this machine does not have."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchbench import prompts as prompt_sets
from benchbench.errors import BenchError
from benchbench.hub import models
from benchbench.pairs.look_up import look_up_pairs
from benchbench.reproduce.plan import Plan
from benchbench.rewards import lookup


def missing(plan: Plan) -> Iterator[str]:
    """Yields each missing model, reward, set of pairs and prompt set, with the command that gets it."""
    if reason := models.missing(plan.track.model):
        yield reason
    rewards = [*plan.rewards, *(training.config.reward for training in plan.trainings)]
    yield from _errors(lookup.require, [*rewards, plan.track.gold])
    cost_pairs = plan.track.pairs if plan.spec.protocol == "cost" else None
    yield from _errors(look_up_pairs, [*(training.config.pairs for training in plan.trainings), cost_pairs])
    for name in dict.fromkeys([plan.track.train_prompts, *(block.prompts for block in plan.blocks)]):
        if reason := prompt_sets.missing(prompt_sets.find(name) or name):
            yield f"the prompt set {name} is {reason}"


def _errors(look_up: Callable[[str], object], names: list[str | None]) -> Iterator[str]:
    """Yields the error of every name that cannot be looked up, each name once; None stands for no name."""
    for name in dict.fromkeys(filter(None, names)):
        try:
            look_up(name)
        except BenchError as error:
            yield f"{error.problem}: {error.remedy}"

"""Looks up what ``--pairs`` names. Imports nothing that is slow to load: a wrong word is told at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from benchbench import defaults
from benchbench import prompts as prompt_sets
from benchbench.errors import UsageError
from benchbench.pairs.named import named_files
from benchbench.prompts.sources import refuse_sources
from benchbench.rewards import lookup
from benchbench.types import PromptSet, Reward

MADE_PREFIX = "made:"  # a reference with this prefix names pairs that we make


@dataclass(frozen=True)
class PairsToMake:
    """Pairs that are made unless the store has them: ``made:PROMPTS:REWARD:IMAGES`` with its names looked up."""

    prompts: PromptSet
    reward: type[Reward]
    images_per_prompt: int


def look_up_pairs(
    reference: str, prompts: Mapping[str, PromptSet] | None = None, rewards: Mapping[str, type[Reward]] | None = None
) -> str | PairsToMake:
    """Returns what ``find_or_make`` takes, after checking that the pairs can be opened or made.

    ``prompts`` and ``rewards`` are objects that were looked up already, by name. Raises UsageError, MissingError.
    """
    if not is_made(reference):
        named_files(reference)
        return reference
    prompts_name, reward_name, images = _parse(reference)
    prompts, rewards = prompts or {}, rewards or {}
    prompt_set = prompts[prompts_name] if prompts_name in prompts else prompt_sets.load(prompts_name)
    refuse_sources(prompt_set)
    reward_class = rewards[reward_name] if reward_name in rewards else lookup.require(reward_name)
    return PairsToMake(prompt_set, reward_class, images)


def check_pairs(reference: str, looked_up: Collection[str]) -> None:
    """Raises what ``look_up_pairs`` raises, but leaves out the names that are looked up anyway."""
    if not is_made(reference):
        named_files(reference)
        return
    prompts_name, reward_name, _ = _parse(reference)
    if prompts_name not in looked_up:
        refuse_sources(prompt_sets.load(prompts_name))
    if reward_name not in looked_up:
        lookup.require(reward_name)


def is_made(reference: str) -> bool:
    """Returns whether a reference names pairs that we make."""
    return reference.startswith(MADE_PREFIX)


def made_images(reference: str) -> int:
    """Returns the number of images that pairs are made of. Errors: UsageError, MissingError for absent prompts."""
    prompts_name, _, images = _parse(reference)
    return len(prompt_sets.load(prompts_name)) * images


def _parse(reference: str) -> tuple[str, str, int]:
    """Returns prompts, reward and images per prompt of ``made:PROMPTS:REWARD:IMAGES``. Raises UsageError."""
    if "://" in reference:
        raise UsageError(
            "pairs cannot be made from a reference that holds the address of a server",
            "the reference is part of a run's settings, and no address is",
            "make them first: bench pairs make --reward http://HOST:PORT, then --pairs with the folder that it names",
        )
    words = reference.removeprefix(MADE_PREFIX).rsplit(":", 2)
    if len(words) != 3 or not words[2].isdecimal() or int(words[2]) < 2:
        raise UsageError(
            f"{reference!r} does not say which pairs to make",
            "it is not of the form made:PROMPTS:REWARD:IMAGES with 2 images or more",
            f"for example {defaults.SHAPES.pairs}",
        )
    return words[0], words[1], int(words[2])

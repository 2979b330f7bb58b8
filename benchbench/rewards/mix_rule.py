"""How a mix makes one score of its members' scores. Imports nothing: `bench --help` reads names of rewards."""

from __future__ import annotations

from typing import Literal

Rule = Literal["sum", "lowest", "mean-sd"]
SUM: Rule = "sum"
CAUTIOUS: tuple[Rule, ...] = ("lowest", "mean-sd")
"""Rules that a name begins with, as ``lowest:a=1,b=1``: the lowest member, and the mean less the standard deviation."""


def is_mix(text: str) -> bool:
    """Returns whether a reward's name is a mix, by its weights or its rule."""
    return "=" in text or split_rule(text)[0] != SUM


def split_rule(mix: str) -> tuple[Rule, str]:
    """Returns the rule of a mix, ``sum`` where its name begins with none, and the members."""
    mix = mix.strip()
    for rule in CAUTIOUS:
        if mix.startswith(f"{rule}:"):
            return rule, mix.removeprefix(f"{rule}:")
    return SUM, mix


def with_rule(rule: Rule, members: str) -> str:
    """Returns the name of a mix."""
    return members if rule == SUM else f"{rule}:{members}"

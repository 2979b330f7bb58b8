"""The contract of a prompt set, tried out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchbench.contract.base import Check, need
from benchbench.types import PromptSet


def checks(name: str, make: Any) -> Iterator[Check]:
    def prompts() -> None:
        made = make()
        need(isinstance(made, PromptSet), f"it returns {type(made).__name__}, not a PromptSet")
        need(made.name == name, f"its name is {made.name!r}, its entry point's {name!r}")
        need(len(made), "it has no prompts")
        bad = [text for text in made.prompts if not isinstance(text, str) or text != text.strip() or not text]
        need(not bad, f"prompts that are empty, padded or no text: {bad[:3]}")
        need(len(set(made.prompts)) == len(made), "a prompt is there twice")
        need(made.hash == make().hash, "called again, it gives other prompts")

    def origin() -> None:
        made = make()
        need(made.origin.strip() and made.licence.strip(), "origin or licence is empty")

    yield "a PromptSet of its own name, the same at every call", prompts
    yield "says where the prompts come from and under which licence", origin

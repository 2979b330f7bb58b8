"""Checks of a prompt set's contract."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchbench.contract.base import Check, expect
from benchbench.types import PromptSet


def checks(name: str, load: Any) -> Iterator[Check]:
    """Yields the checks of the prompt set ``name``, whose entry point is the function ``load``."""

    def check_prompts() -> None:
        prompt_set = load()
        expect(isinstance(prompt_set, PromptSet), f"it returns {type(prompt_set).__name__}, not a PromptSet")
        expect(prompt_set.name == name, f"its name is {prompt_set.name!r}, its entry point's {name!r}")
        expect(len(prompt_set), "it has no prompts")
        bad = [text for text in prompt_set.prompts if not isinstance(text, str) or text != text.strip() or not text]
        expect(not bad, f"these prompts are empty, have spaces around them or are not strings: {bad[:3]}")
        expect(len(set(prompt_set.prompts)) == len(prompt_set), "it has the same prompt twice")
        expect(prompt_set.hash == load().hash, "a second call returns other prompts")

    def check_origin() -> None:
        prompt_set = load()
        expect(prompt_set.origin.strip() and prompt_set.licence.strip(), "origin or licence is empty")

    yield "a PromptSet with its registered name, the same at every call", check_prompts
    yield "origin and licence are given", check_origin

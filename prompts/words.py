"""Checks that a model's tokenizer and vocabulary fit a prompt set."""

from __future__ import annotations

import difflib
from typing import Any

from benchbench import defaults
from benchbench.api import PromptSet
from benchbench.errors import UsageError
from benchbench.runtime.words import counted
from benchbench.shapes.attributes import COLOURS, POSITION_PHRASES, SHAPES, SIZES


def too_long(prompts: PromptSet, tokenizer: Any) -> list[str]:
    """Returns a warning for each prompt that is longer than the tokenizer's limit, since the rest is not read."""
    limit = tokenizer.model_max_length
    lengths = [(prompt, len(tokenizer(prompt, truncation=False)["input_ids"])) for prompt in prompts.prompts]
    return [
        f"{prompts.name}: the end of {prompt!r} is cut off: {length} tokens, the model reads {limit}"
        for prompt, length in lengths
        if length > limit
    ]


def check_vocabulary(prompts: PromptSet, model: str) -> None:
    """Raises UsageError for a word outside the vocabulary of a model that knows only a few words."""
    if not defaults.of(model).limited_vocabulary:
        return
    known = shapes_words()
    unknown = {word: prompt for prompt in prompts.prompts for word in _words(prompt) if word not in known}
    if unknown:
        word, prompt = next(iter(unknown.items()))
        near = difflib.get_close_matches(word, known, n=1)
        others = f", and {counted(len(unknown) - 1, 'other word')}" if len(unknown) > 1 else ""
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise UsageError(
            f"the shapes model does not know the prompt set {prompts.name!r}",
            f"it has no word {word!r}, which stands in {prompt!r}{others}{meant}",
            f"it knows {', '.join(sorted(known))}; use these, --prompts shapes-simple or another model",
        )


def shapes_words() -> set[str]:
    """Returns the words of the shapes world's captions."""
    phrases = [*COLOURS, *SHAPES, *SIZES, *POSITION_PHRASES.values(), "a an on background"]
    return {word for phrase in phrases for word in phrase.split()}


def _words(prompt: str) -> list[str]:
    """Returns the words of a prompt in lower case, without commas and full stops."""
    return prompt.lower().replace(",", " ").replace(".", " ").split()

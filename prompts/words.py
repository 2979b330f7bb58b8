"""Do a model's tokenizer and vocabulary fit a prompt set?"""

from __future__ import annotations

from typing import Any

from benchbench import defaults
from benchbench.api import PromptSet
from benchbench.errors import UsageError


def too_long(prompts: PromptSet, tokenizer: Any) -> list[str]:
    """One warning for each prompt of which the text encoder reads only the beginning; the limit is the tokenizer's."""
    limit = tokenizer.model_max_length
    lengths = [(prompt, len(tokenizer(prompt, truncation=False)["input_ids"])) for prompt in prompts.prompts]
    return [
        f"{prompts.name}: the end of {prompt!r} is cut off: {length} tokens, the model reads {limit}"
        for prompt, length in lengths
        if length > limit
    ]


def check_vocabulary(prompts: PromptSet, model: str) -> None:
    """Raises UsageError for a word that a model with a small vocabulary has never seen: it would mean nothing to it."""
    if not defaults.of(model).limited_vocabulary:
        return
    known = shapes_words()
    strange = {word: prompt for prompt in prompts.prompts for word in _words(prompt) if word not in known}
    if strange:
        word, prompt = next(iter(strange.items()))
        raise UsageError(
            f"the shapes model does not know the prompt set {prompts.name!r}",
            f"{len(strange)} of its words mean nothing to it, such as {word!r} in {prompt!r}",
            "use --prompts shapes-simple or shapes-complex, or another model",
        )


def shapes_words() -> set[str]:
    """The words of the shapes world's captions."""
    from benchbench.shapes.captions import POSITION_PHRASES
    from benchbench.shapes.drawing import COLOURS, SHAPES, SIZES

    phrases = [*COLOURS, *SHAPES, *SIZES, *POSITION_PHRASES.values(), "a an on background"]
    return {word for phrase in phrases for word in phrase.split()}


def _words(prompt: str) -> list[str]:
    return prompt.lower().replace(",", " ").replace(".", " ").split()

"""Checks that a prompt set has the metadata that rewards need, before anything is drawn or scored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchbench.errors import UsageError
from benchbench.prompt_set import metadata
from benchbench.types import Reward


def check_needs(title: str, prompts: Sequence[str], rewards: Iterable[type[Reward]]) -> None:
    """Raises UsageError for the first reward, or member of a mix, that needs a field which a prompt of a set lacks.

    ``title`` is the set's name in the message.
    """
    rows = metadata(prompts)
    for reward in (member for each in rewards for member in getattr(each, "reward_classes", {"": each}).values()):
        lacking = [
            (n, missing) for n, row in enumerate(rows, 1) if (missing := [f for f in reward.needs if f not in row])
        ]
        if lacking:
            number, fields = lacking[0]
            names, first = " and ".join(map(repr, fields)), f"number {number}, {prompts[number - 1]!r:.80}"
            found = _listed(rows[number - 1])
            raise UsageError(
                f"the prompt set {title} has no {names}, which the reward {reward.name} needs",
                f"{len(lacking)} of {len(rows)} prompts lack it: {first}, has {found}",
                f'give a JSONL file with it in each line, as {{"prompt": "a cat", "{fields[0]}": ...}}',
            )


def _listed(fields: Iterable[str]) -> str:
    return f"the fields {', '.join(fields)}" if fields else "no metadata"

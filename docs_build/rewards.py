"""A page that shows every built-in reward, from the attributes of its class."""

from __future__ import annotations

from typing import Any

from benchbench import registry
from docs_build import text


def page() -> str:
    """Returns a section for each built-in reward."""
    parts = [
        "# Every reward",
        "`bench list rewards` says which are on this machine, `bench show reward NAME` prints what stands here, "
        "and `bench fetch --rewards NAME` downloads weights. [Reward models](../reward_models/README.md) says how they "
        "are computed and how to use weights of your own.",
    ]
    for name in registry.names("rewards"):
        reward = registry.get("rewards", name)
        if reward.__module__.startswith("benchbench."):
            parts += [f"## `{name}`", text.docstring(reward), _facts(reward), _notes(reward)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(reward: Any) -> str:
    downloads = [f"{asset.title}, {asset.size or 'size not known'} ({asset.repos[0]})" for asset in reward.assets]
    low, high = reward.range
    rows = [
        ["unit, usual range", f"{text.escape(reward.unit)}; {low:g} to {high:g}"],
        ["version", f"`{reward.version}`"],
        ["has a gradient (needed by TailorPO-G)", "yes" if reward.differentiable else "no"],
        ["may be trained on", "yes" if reward.trainable else "no, it is for evaluation only"],
        ["reads the prompt", "yes" if reward.reads_prompt else "no, the score is of the image alone"],
        ["download", "; ".join(text.escape(line) for line in downloads) or "nothing"],
        ["weights", text.escape(reward.weights)],
    ]
    return text.table(["", ""], rows)


def _notes(reward: Any) -> str:
    return "\n".join(f"- {text.escape(note)}" for note in reward.notes)

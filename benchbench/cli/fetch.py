"""``bench fetch``."""

from __future__ import annotations

from typing import Annotated

import typer

from benchbench.cli.options import reward_words, words
from benchbench.cli.ui import say


def fetch(
    models: Annotated[str, typer.Option(help="sd15, sd21, sdxl or hub ids, separated by commas.")] = "",
    prompts: Annotated[str, typer.Option(help="Prompt sets, separated by commas.")] = "",
    rewards: Annotated[str, typer.Option(help="Rewards, separated by commas.")] = "",
    checkpoints: Annotated[
        str, typer.Option(help="Released checkpoints (bench list checkpoints) or hub ids, separated by commas.")
    ] = "",
) -> None:
    """Fetch models, prompt sets, rewards and checkpoints into the caches; the only command that uses the network."""
    from benchbench import fetch

    if not (models or prompts or rewards or checkpoints):
        raise typer.BadParameter("name what to fetch", param_hint="--models, --prompts, --rewards or --checkpoints")
    for name in words(models):
        say(f"fetching the model {name} into the Hugging Face cache")
        say(f"{name}: {fetch.model(name)}")
    for name in words(prompts):
        say(f"fetching the prompts {name} into the cache")
        say(f"{name}: {fetch.prompt_set(name)}")
    for name in reward_words(rewards):
        say(f"{name}: {fetch.reward(name)}")
    for name in words(checkpoints):
        say(f"fetching the checkpoint {name} into the Hugging Face cache")
        say(f"{name}: {fetch.checkpoint(name)}")

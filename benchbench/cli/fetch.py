"""``bench fetch``."""

from __future__ import annotations

from typing import Annotated

import typer

from benchbench.choice import split_names, split_rewards
from benchbench.cli.ui import log
from benchbench.fetch import files
from benchbench.fetch.pairs import fetch_pairs
from benchbench.hub.pickapic import SOURCES


def fetch(
    models: Annotated[str, typer.Option(help="sd15, sd21, sdxl or hub ids, separated by commas.")] = "",
    prompts: Annotated[str, typer.Option(help="Prompt sets, separated by commas.")] = "",
    rewards: Annotated[str, typer.Option(help="Rewards, separated by commas.")] = "",
    checkpoints: Annotated[
        str, typer.Option(help="Released checkpoints (bench list checkpoints) or hub ids, separated by commas.")
    ] = "",
    pairs: Annotated[str, typer.Option(help="Preference pairs: pickapic_v1, pickapic_v2.")] = "",
    shards: Annotated[str, typer.Option(help="Shards of the pairs: 0-3,7 or all.")] = "",
) -> None:
    """Download models, prompts, rewards, checkpoints and pairs. Only parity, by pip, also uses the network."""
    if not (models or prompts or rewards or checkpoints or pairs):
        options = "--models, --prompts, --rewards, --checkpoints or --pairs"
        raise typer.BadParameter("name what to fetch", param_hint=options)
    if bool(pairs) != bool(shards):
        sizes = ", ".join(f"{name} is {source.size}" for name, source in SOURCES.items())
        raise typer.BadParameter(f"pairs come in shards ({sizes}); name both", param_hint="--pairs and --shards")
    for name in split_names(models):
        log(f"fetching the model {name} into the Hugging Face cache")
        log(f"{name}: {files.fetch_model(name)}")
    for name in split_names(prompts):
        log(f"fetching the prompts {name} into the cache")
        log(f"{name}: {files.fetch_prompt_set(name)}")
    for name in split_rewards(rewards):
        log(f"{name}: {files.fetch_reward(name)}")
    for name in split_names(checkpoints):
        log(f"fetching the checkpoint {name} into the Hugging Face cache")
        log(f"{name}: {files.fetch_checkpoint(name)}")
    for name in split_names(pairs):
        log(f"fetching shards {shards} of the pairs {name} into the Hugging Face cache")
        log(f"{name}: {fetch_pairs(name, shards)}")

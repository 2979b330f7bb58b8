"""``bench score``. Imports evaluate and diffusion, which load pandas and torch, only inside the function."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from benchbench import prompts as prompt_sets
from benchbench.cli import choice
from benchbench.cli.options import Device
from benchbench.cli.ui import all_at_once
from benchbench.runtime.files import write_atomic
from benchbench.types import Reward


def score(
    images: Annotated[Path, typer.Option(help="Folder of image files, taken in the order of their names.")],
    prompts: Annotated[str, typer.Option(help="A file or set with one prompt an image, in the same order.")],
    rewards: Annotated[str, typer.Option(help="Names separated by commas, or all that are here.")],
    out: Annotated[Path | None, typer.Option(help="CSV file. Default: standard output.")] = None,
    device: Device = None,
) -> None:
    """Score a folder of images and print a CSV. It has the units and versions of the rewards."""
    from benchbench.evaluate import score_folder

    def look_up_rewards() -> tuple[dict[str, type[Reward]], Sequence[str]]:
        named = choice.choose_rewards(rewards, "")
        return choice.reward_classes(named.names), named.notes

    (reward_classes, notes), prompt_set, files = all_at_once(
        look_up_rewards, lambda: prompt_sets.load(prompts), lambda: score_folder.find_images(images)
    )
    for note in notes:
        _log_to_stderr(note)
    texts = score_folder.match_prompts(files, prompt_set)

    from benchbench.diffusion.backbones import pick_device

    device_name = str(pick_device(device))
    target = str(out) if out else "standard output"
    names = ", ".join(reward_classes)
    _log_to_stderr(f"scoring {len(files)} images of {images} with {names} on {device_name}; CSV into {target}")
    scores = score_folder.score_folder(
        files, texts, list(reward_classes.values()), device=device_name, log=_log_to_stderr
    )
    csv = scores.to_csv(index=False)
    if out:
        write_atomic(out, csv.encode())
    else:
        print(csv, end="")


def _log_to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # standard output is the CSV

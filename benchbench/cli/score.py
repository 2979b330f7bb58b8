"""``bench score``. Imports evaluate and diffusion, which load pandas and torch, only inside the function."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from benchbench import prompts as prompt_sets
from benchbench.cli import choice
from benchbench.cli.options import Device
from benchbench.cli.ui import all_at_once, resumable
from benchbench.errors import UsageError
from benchbench.runtime.files import write_atomic
from benchbench.runtime.output import write_line
from benchbench.runtime.printable import csv_text
from benchbench.runtime.words import counted
from benchbench.store import root
from benchbench.types import PromptSet, Reward


def score(
    images: Annotated[
        Path, typer.Option(help="Folder of image files, taken in the order of their names: 2.png before 10.png.")
    ],
    rewards: Annotated[
        str, typer.Option(help="Names or servers' addresses separated by commas, or all that are here.")
    ],
    prompts: Annotated[
        str | None,
        typer.Option(
            help="A file or set with one prompt an image, in the same order, or a CSV or JSONL file whose column image "
            "names the file of each prompt. Rewards that read no prompt need none."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="CSV file. Default: standard output.")] = None,
    device: Device = None,
) -> None:
    """Score a folder of images and print a CSV. It has the units and versions of the rewards."""
    from benchbench.evaluate import folder_images, score_folder
    from benchbench.rewards.needs import check_needs

    def look_up_rewards() -> tuple[dict[str, type[Reward]], Sequence[str]]:
        named = choice.choose_rewards(rewards, "")
        classes = choice.reward_classes(named.names)
        reading = [name for name, reward_class in classes.items() if reward_class.reads_prompt or reward_class.needs]
        if prompts is None and reading:
            raise UsageError(
                f"the scores of {', '.join(reading)} depend on prompts",
                "--prompts is not given",
                "--prompts FILE, with one prompt an image",
            )
        return classes, named.notes

    (reward_classes, notes), (prompt_set, by_image), (files, left_out) = all_at_once(
        look_up_rewards, lambda: _look_up_prompts(prompts), lambda: folder_images.find_images(images)
    )
    if out and out.exists():
        raise UsageError(f"{out} exists", "the scores would be written over it", "name a new file, or delete this one")
    for note in (*notes, *left_out):
        _log_to_stderr(note)
    texts = folder_images.match_prompts(files, prompt_set, by_image) if prompt_set else [""] * len(files)
    check_needs(prompt_set.name if prompt_set else "", texts, reward_classes.values())

    from benchbench.diffusion.backbones import pick_device

    device_name = str(pick_device(device))
    target = str(out) if out else "standard output"
    names = ", ".join(reward_classes)
    count = counted(len(files), "image")
    _log_to_stderr(f"scoring {count} of {images} with {names} on {device_name}; CSV into {target}")
    with resumable():
        scores = score_folder.score_folder(
            files, texts, list(reward_classes.values()), store=root(), device=device_name, log=_log_to_stderr
        )
    texts_escaped = {name: scores[name].map(csv_text) for name in ("image", "prompt", "reward", "version", "unit")}
    csv = scores.assign(**texts_escaped).to_csv(index=False)
    if out:
        write_atomic(out, csv.encode())
    else:
        print(csv, end="")


def _look_up_prompts(prompts: str | None) -> tuple[PromptSet | None, Mapping[str, str] | None]:
    """Returns the prompts, and those of each image where they name images. Errors: those of ``prompts.load``."""
    return (None, None) if prompts is None else (prompt_sets.load(prompts), prompt_sets.by_image(prompts))


def _log_to_stderr(line: str) -> None:
    write_line(line, sys.stderr)  # standard output is the CSV

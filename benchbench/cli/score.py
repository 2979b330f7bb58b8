"""``bench score``."""

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
from benchbench.types import Reward


def score(
    images: Annotated[Path, typer.Option(help="Folder of image files, taken in the order of their names.")],
    prompts: Annotated[str, typer.Option(help="A file or set with one prompt an image, in the same order.")],
    rewards: Annotated[str, typer.Option(help="Names separated by commas, or all that are here.")],
    out: Annotated[Path | None, typer.Option(help="CSV file. Default: standard output.")] = None,
    device: Device = None,
) -> None:
    """Score images from anywhere, as CSV with units and versions; generates nothing."""
    from benchbench.evaluate import score_folder

    def find_rewards() -> tuple[dict[str, type[Reward]], Sequence[str]]:
        names = choice.rewards(rewards, "")
        return choice.classes(names.rewards), names.notes

    (judges, notes), prompt_set, files = all_at_once(
        find_rewards, lambda: prompt_sets.load(prompts), lambda: score_folder.find_images(images)
    )
    for note in notes:
        _say(note)
    texts = score_folder.match_prompts(files, prompt_set)

    from benchbench.diffusion.backbones import pick_device

    where = str(pick_device(device))
    target = str(out) if out else "standard output"
    _say(f"scoring {len(files)} images of {images} with {', '.join(judges)} on {where}; CSV into {target}")
    kinds = list(judges.values())
    text = score_folder.score_folder(files, texts, kinds, device=where, log=_say).to_csv(index=False)
    if out:
        from benchbench.runtime.files import write_atomic

        write_atomic(out, text.encode())
    else:
        print(text, end="")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # standard output is the CSV

"""``bench score``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from benchbench.cli import choice
from benchbench.cli.options import Device
from benchbench.cli.ui import all_at_once
from benchbench.rewards import lookup


def score(
    images: Annotated[Path, typer.Option(help="Folder of image files, taken in the order of their names.")],
    prompts: Annotated[str, typer.Option(help="A file or set with one prompt an image, in the same order.")],
    rewards: Annotated[str, typer.Option(help="Names separated by commas, or all that are here.")],
    out: Annotated[Path | None, typer.Option(help="CSV file. Default: standard output.")] = None,
    device: Device = None,
) -> None:
    """Score images from anywhere, as CSV with units and versions; generates nothing."""
    from benchbench import prompts as prompt_sets
    from benchbench.evaluate import score_folder

    chosen: list[str] = []
    found: list[Path] = []

    def check_rewards() -> None:
        names, notes = choice.rewards(rewards, "")
        chosen.extend(names)
        for note in notes:
            _say(note)
        all_at_once(*(lambda name=name: lookup.require(name) for name in names))

    all_at_once(check_rewards, lambda: prompt_sets.load(prompts), lambda: found.extend(score_folder.find(images)))
    texts = score_folder.pair(found, prompt_sets.load(prompts))

    from benchbench.diffusion.backbones import pick_device

    where = str(pick_device(device))
    target = str(out) if out else "standard output"
    _say(f"scoring {len(found)} images of {images} with {', '.join(chosen)} on {where}; CSV into {target}")
    kinds = [lookup.get(name) for name in chosen]
    text = score_folder.score_folder(found, texts, kinds, device=where, say=_say).to_csv(index=False)
    if out:
        from benchbench.runtime.files import write_atomic

        write_atomic(out, text.encode())
    else:
        print(text, end="")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # standard output is the CSV

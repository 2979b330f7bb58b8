"""``bench score``. Imports evaluate and diffusion, which load pandas and torch, only inside the function."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchbench.cli.options import Device
from benchbench.cli.ui import log_to_stderr, resumable
from benchbench.errors import UsageError
from benchbench.python.score import run_scoring
from benchbench.runtime.files import write_atomic
from benchbench.runtime.printable import csv_text
from benchbench.store import root


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
    if out and out.exists():
        raise UsageError(f"{out} exists", "the scores would be written over it", "name a new file, or delete this one")
    with resumable():
        scores = run_scoring(
            images,
            prompts,
            rewards,
            store=root(),
            device=device,
            log=log_to_stderr,
            target=f"; CSV into {out or 'standard output'}",
        )
    texts_escaped = {name: scores[name].map(csv_text) for name in ("image", "prompt", "reward", "version", "unit")}
    csv = scores.assign(**texts_escaped).to_csv(index=False)
    if out:
        write_atomic(out, csv.encode())
    else:
        print(csv, end="")

"""``bench pairs``: makes preference pairs, and checks them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from benchbench.cli import choice
from benchbench.cli.options import Device, Dtype, ModelName, RewardName, Store, integers
from benchbench.cli.ui import log, resumable

app = typer.Typer(help="Preference pairs for offline methods.", no_args_is_help=True)


@app.command()
def make(
    prompts: Annotated[str | None, typer.Option(help="A set (bench list prompts), or a file.")] = None,
    model: ModelName = None,
    reward: RewardName = None,
    images: Annotated[int, typer.Option(min=2, help="Images a prompt and seed; as many pairs, ties left out.")] = 32,
    seeds: Annotated[str | None, typer.Option(help="Of the images, separated by commas. Default: 900000.")] = None,
    out: Annotated[Path | None, typer.Option(help="A new folder. Default: pairs/NAME-DIGEST in the store.")] = None,
    dtype: Dtype = "auto",
    store: Store = None,
    device: Device = None,
) -> None:
    """Make pairs of a base model's images, preferred by a reward; what exists is not made again."""
    from benchbench import defaults
    from benchbench.store import root

    chosen, why = choice.model(model, device)
    base = str(chosen)
    judge = reward or defaults.of(base).preference_reward
    found = choice.look_up(chosen, choice.prompts(prompts, base), lambda: choice.reward(judge, base), lambda _: None)
    log(
        f"pairs of {images} images for each prompt of {found.prompts.name} by the model {base} ({why}), judged by "
        f"{', '.join(found.rewards)}"
    )
    for note in found.notes:
        log(note)

    from benchbench.evaluate.make_pairs import SEED, make_pairs

    numbers = integers(seeds, "--seeds") if seeds else [SEED]
    with resumable():
        folder = make_pairs(
            found.model,
            found.prompts,
            found.reward,
            root(store),
            images,
            seeds=numbers,
            device=device,
            dtype=dtype,
            out=out,
            log=log,
        )
    log(f"to train on them: --pairs {folder}")


@app.command()
def check(
    pairs: Annotated[str, typer.Argument(help="A folder or file of pairs, or the name of fetched ones.")],
    bad_rows: Annotated[
        Literal["refuse", "skip"], typer.Option(help="refuse: end with an error where a row cannot be used.")
    ] = "refuse",
    nodup: Annotated[bool, typer.Option("--nodup", help="As trained on with one pair a caption.")] = False,
    store: Store = None,
) -> None:
    """Read every pair, name each row that cannot be used, and say what the captions and pictures are like."""
    from benchbench.errors import CorruptError
    from benchbench.evaluate.make_pairs import find_or_make
    from benchbench.pairs.check import check as read
    from benchbench.pairs.open import open_pairs
    from benchbench.store import root

    log(f"checking the pairs {pairs}: every row is read, nothing is written but the files' hashes")
    opened = open_pairs(find_or_make(pairs, root(store), log=log), nodup=nodup)
    found = read(opened, lambda bad: log(f"bad: {bad}"))
    for line in found.lines(opened):
        log(line)
    if found.bad_count and bad_rows == "refuse":
        raise CorruptError(
            f"{found.bad_count} of {len(opened)} pairs cannot be used",
            f"the first: {found.bad[0]}",
            "mend or remove them, or say --bad-rows skip",
        )

"""``bench pairs``: makes preference pairs and checks them. Imports make_pairs, which loads pandas, inside functions."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal

import typer

from benchbench import choice, defaults
from benchbench.cli.options import Device, Dtype, ModelName, PromptsName, RewardName, Store, integers
from benchbench.cli.ui import log, resumable
from benchbench.errors import CorruptError, UsageError
from benchbench.pairs.check import check as check_pairs
from benchbench.pairs.look_up import look_up_pairs
from benchbench.pairs.open import open_pairs
from benchbench.store import root

app = typer.Typer(help="Make and check preference pairs.", no_args_is_help=True)


def _work() -> ModuleType:
    """Imports and returns what makes pairs, once all names are looked up."""
    from benchbench.evaluate import make_pairs

    return make_pairs


@app.command()
def make(
    prompts: PromptsName = None,
    model: ModelName = None,
    reward: RewardName = None,
    images: Annotated[int, typer.Option(min=2, help="Images a prompt and seed; as many pairs, ties left out.")] = 32,
    seeds: Annotated[
        str | None, typer.Option(help="Seeds of the images, separated by commas. Default: 900000.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A new folder. Default: pairs/NAME-DIGEST in the store.")] = None,
    dtype: Dtype = "auto",
    store: Store = None,
    device: Device = None,
) -> None:
    """Make pairs of a base model's images, labelled by a reward. Pairs that exist are not made again."""
    chosen_model, reason = choice.choose_model(model, device)
    model_name = str(chosen_model)
    reward_name = reward or defaults.of(model_name).preference_reward
    resolved = choice.resolve(
        chosen_model,
        choice.choose_prompts(prompts, model_name),
        lambda: choice.choose_reward(reward_name, model_name),
        lambda _: None,
    )
    if out is not None and out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file", "pairs are a folder of files", "name a new folder")
    log(
        f"pairs of {images} images for each prompt of {resolved.prompts.name} by the model "
        f"{choice.with_reason(model_name, reason)}, "
        f"labelled by {', '.join(resolved.rewards)}"
    )
    for note in resolved.notes:
        log(note)

    with resumable():
        work = _work()
        folder = work.make_pairs(
            resolved.model,
            resolved.prompts,
            resolved.reward,
            root(store),
            images,
            seeds=integers(seeds, "--seeds") if seeds else [work.SEED],
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
    nodup: Annotated[bool, typer.Option("--nodup", help="Keep one pair a caption, as DSPO's nodup setting.")] = False,
    store: Store = None,
) -> None:
    """Read every pair. Names each row that cannot be used and describes the captions and pictures."""
    look_up_pairs(pairs)
    log(f"checking the pairs {pairs}: every row is read, nothing is written but the files' hashes")
    pair_set = open_pairs(_work().find_or_make(pairs, root(store), log=log), nodup=nodup)
    result = check_pairs(pair_set, lambda bad: log(f"bad: {bad}"))
    for line in result.lines(pair_set):
        log(line)
    if result.bad_count and (bad_rows == "refuse" or not result.good):
        raise CorruptError(
            f"{result.bad_count} of {len(pair_set)} pairs cannot be used",
            f"the first: {result.bad[0]}",
            "repair or remove them, or use --bad-rows skip" if result.good else "repair them: there is no other pair",
        )

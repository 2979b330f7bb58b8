"""``bench train``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchbench.cli import choice
from benchbench.cli.options import Device, MethodName, ModelName, PromptsName, RewardName, Store
from benchbench.cli.ui import all_at_once, resumable, say, table
from benchbench.rewards import lookup

if TYPE_CHECKING:
    from benchbench.config import RunConfig


class BadRows(StrEnum):
    """What becomes of pairs that cannot be read."""

    skip = "skip"
    refuse = "refuse"


def train(
    method: MethodName,
    model: ModelName = None,
    reward: RewardName = None,
    prompts: PromptsName = None,
    samples: Annotated[
        int | None, typer.Option(help="Final images to train on. Default: 384 on shapes, else 10000.")
    ] = None,
    seed: int = 0,
    preset: Annotated[str | None, typer.Option(help="released, paper or shapes; see bench show preset METHOD.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE...", help="train.lr=1e-4 method.beta=0.1 ...")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder. Default: runs/ID in the store.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    pairs: Annotated[
        str | None, typer.Option(help="What an offline method learns from: a file, a folder, pickapic_v2, ...")
    ] = None,
    bad_rows: Annotated[
        BadRows, typer.Option(help="Pairs that cannot be read: skip them and say so, or refuse to go on.")
    ] = BadRows.skip,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="On a GPU: kernels that repeat their bits, which are slower.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print how the run would be cut to fit the device's memory, and end.")
    ] = False,
    store: Store = None,
    device: Device = None,
) -> None:
    """Train a LoRA adapter with a method against a reward."""
    from benchbench import config
    from benchbench import prompts as prompt_sets
    from benchbench.hub import models
    from benchbench.runtime import launch
    from benchbench.store import root, runs

    where = launch.place()
    chosen, why = choice.model(model, device)
    prompts_name, count = choice.prompts(prompts, chosen), choice.samples(samples, chosen, method, preset)

    def configure(reward_name: str) -> config.RunConfig:
        return config.load(method, chosen, reward_name, prompts_name, count, seed, preset, settings or [], pairs)

    if dry_run:
        return _plan(configure(choice.reward(reward, chosen, method)[0]), device)
    all_at_once(
        lambda: lookup.require(choice.reward(reward, chosen, method)[0]),
        lambda: models.folder(chosen),
        lambda: prompt_sets.load(prompts_name),
        lambda: configure(reward or ""),
    )
    reward_name, note = choice.reward(reward, chosen, method)
    run = configure(reward_name)
    name = runs.run_id(run.method, run.model, run.reward, run.seed, run.identity)
    out = out or root(store) / "runs" / name
    source = f"{run.prompts}, reward {run.reward}"
    if run.pairs:
        source = f"the pairs {run.pairs}, evaluated on {source}"
    if where.rank == 0:
        say(
            f"training {run.method} on the model {run.model} ({why}): {run.samples} images of {source}, "
            f"seed {run.seed}; into {out}" + (f"; {where.size} processes share the work" if where.size > 1 else "")
        )
        if note:
            say(note)

    from benchbench.runtime.deterministic import use_deterministic_kernels
    from benchbench.train import loop

    if deterministic:
        use_deterministic_kernels()
    with resumable("--resume"), runs.alone(out, say):
        skip_bad = bad_rows is BadRows.skip
        loop.train(run, out, resume=resume, device=device, say=say, store=root(store), skip_bad=skip_bad)


def _plan(run: RunConfig, device: str | None) -> None:
    """Prints the plan for the card that is here, or for the usual sizes; needs no weights and loads none."""
    from benchbench.train import memory_table

    full = "every weight" if run.train.finetune == "full" else f"an adapter of rank {run.train.lora_rank}"
    say(
        f"a dry run: {run.method} would train {full} of {run.model} with reward {run.reward}, preset {run.preset}; "
        "counting its memory, nothing is loaded"
    )
    table(memory_table.COLUMNS, memory_table.rows(run, memory_table.cards(device)))
    say(
        "the peak is of everything that is alive at a time; what the card has beyond it is left to CUDA and its kernels"
    )

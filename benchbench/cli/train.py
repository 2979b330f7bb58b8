"""``bench train``."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchbench.cli import choice
from benchbench.cli.options import Device, MethodName, ModelName, PromptsName, RewardName, Store
from benchbench.cli.ui import log, resumable, table

if TYPE_CHECKING:
    from benchbench.config import RunConfig


class BadRows(StrEnum):
    """What becomes of pairs that cannot be read."""

    skip = "skip"
    refuse = "refuse"


Samples = Annotated[int | None, typer.Option(help="Final images to train on. Default: 384 on shapes, else 10000.")]
Preset = Annotated[str | None, typer.Option(help="released, paper or shapes; see bench show preset METHOD.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE...", help="train.lr=1e-4 method.beta=0.1 ...")
]
Out = Annotated[Path | None, typer.Option(help="The run's folder. Default: runs/ID in the store.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")]
Pairs = Annotated[
    str | None, typer.Option(help="What an offline method learns from: a file, a folder, pickapic_v2, ...")
]
OnBadRows = Annotated[
    BadRows, typer.Option(help="Pairs that cannot be read: skip them and say so, or refuse to go on.")
]
Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="On a GPU: kernels that repeat their bits, which are slower.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print how the run would be cut to fit the device's memory, and end.")
]


def train(
    method: MethodName,
    model: ModelName = None,
    reward: RewardName = None,
    prompts: PromptsName = None,
    samples: Samples = None,
    seed: int = 0,
    preset: Preset = None,
    settings: Overrides = None,
    out: Out = None,
    resume: Resume = False,
    pairs: Pairs = None,
    bad_rows: OnBadRows = BadRows.skip,
    deterministic: Deterministic = False,
    dry_run: DryRun = False,
    store: Store = None,
    device: Device = None,
) -> None:
    """Train a LoRA adapter with a method against a reward."""
    from benchbench import config
    from benchbench.runtime import launch
    from benchbench.store import root, runs

    where = launch.read_rank()
    chosen, why = choice.model(model, device)
    base = str(chosen)
    prompts_name, count = choice.prompts(prompts, base), choice.samples(samples, base, method, preset)

    def configure(rewards: Sequence[str]) -> config.RunConfig:
        reward_name = rewards[0] if rewards else reward or ""
        return config.load(method, base, reward_name, prompts_name, count, seed, preset, settings or [], pairs)

    if dry_run:
        return _plan(configure(choice.reward(reward, base, method).rewards), device)
    found = choice.look_up(chosen, prompts_name, lambda: choice.reward(reward, base, method), configure)
    run = found.more
    name = runs.run_id(run.method, run.model, run.reward, run.seed, run.identity)
    out = out or root(store) / "runs" / name
    if where.rank == 0:
        _announce(run, why, out, where.size, found.notes)

    from benchbench.runtime.deterministic import use_deterministic_kernels
    from benchbench.train import inputs, loop

    if deterministic:
        use_deterministic_kernels()
    given = inputs.look_up(run, found.reward, found.prompts, found.model)
    with resumable("--resume"), runs.hold_run_folder(out, log):
        loop.train(run, out, resume, device, log, root(store), bad_rows is BadRows.skip, given)


def _announce(run: RunConfig, why: str, out: Path, processes: int, notes: Sequence[str]) -> None:
    """Says what is trained on what, and what was chosen for the user."""
    source = f"{run.prompts}, reward {run.reward}"
    if run.pairs:
        source = f"the pairs {run.pairs}, evaluated on {source}"
    log(
        f"training {run.method} on the model {run.model} ({why}): {run.samples} images of {source}, "
        f"seed {run.seed}; into {out}" + (f"; {processes} processes share the work" if processes > 1 else "")
    )
    for note in notes:
        log(note)


def _plan(run: RunConfig, device: str | None) -> None:
    """Prints the plan for the card that is here, or for the usual sizes; needs no weights and loads none."""
    from benchbench.train import memory_table

    full = "every weight" if run.train.finetune == "full" else f"an adapter of rank {run.train.lora_rank}"
    log(
        f"a dry run: {run.method} would train {full} of {run.model} with reward {run.reward}, preset {run.preset}; "
        "counting its memory, nothing is loaded"
    )
    table(memory_table.COLUMNS, memory_table.rows(run, memory_table.cards(device)))
    log(
        "the peak is of everything that is alive at a time; what the card has beyond it is left to CUDA and its kernels"
    )

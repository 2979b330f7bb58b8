"""``bench train``. Imports the checks of a dry run, which load torch and pandas, only inside a function."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from benchbench import presets
from benchbench.choice import split_names, with_reason
from benchbench.cli.backend_options import CardName
from benchbench.cli.options import Device, MethodName, ModelName, PromptsName, RewardName, Store
from benchbench.cli.ui import log, resumable, table
from benchbench.config import RunConfig
from benchbench.python.train import Words, folder_of, run_training
from benchbench.rewards.http_address import has_address
from benchbench.runtime import launch
from benchbench.runtime.words import counted
from benchbench.store import root
from benchbench.store.metrics import read_metrics
from benchbench.train import memory_table, tracker_kinds
from benchbench.train.cards import needs_dry_run
from benchbench.train.remarks import remarks


class BadRows(StrEnum):
    """The treatment of pairs that cannot be read."""

    skip = "skip"
    refuse = "refuse"


Samples = Annotated[
    int | None, typer.Option(help="Training images. Default: the preset's, else 384 on shapes and 10000 elsewhere.")
]
Preset = Annotated[
    str | None,
    typer.Option(help="released, paper or shapes (bench show preset METHOD), or a file that bench tune wrote."),
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE...", help="train.lr=1e-4 method.beta=0.1 ...")
]
Out = Annotated[Path | None, typer.Option(help="The run's folder. Default: runs/ID in the store.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint.")]
Pairs = Annotated[
    str | None, typer.Option(help="Pairs that an offline method learns from: a file, a folder, pickapic_v2, ...")
]
OnBadRows = Annotated[
    BadRows, typer.Option(help="skip: leave out pairs that cannot be read and log each; refuse: stop.")
]
Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="On a GPU: use slower kernels that give the same bits every time.")
]
TrackWith = Annotated[
    str, typer.Option(help="Follow the run with wandb, trackio, mlflow or tensorboard; several by commas.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print how the run would fit into the device's memory, and exit.")
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
    track_with: TrackWith = "",
    dry_run: DryRun = False,
    card: CardName = None,
    store: Store = None,
    device: Device = None,
) -> None:
    """Train a model with a method against a reward. Trains a LoRA adapter, or every weight (train.finetune=full)."""
    place, trackers = launch.read_rank(), list(dict.fromkeys(split_names(track_with)))
    tracker_kinds.check(trackers)
    needs_dry_run(card, dry_run)
    words = Words(
        method=method,
        model=model,
        reward=reward,
        prompts=prompts,
        samples=samples,
        seed=seed,
        preset=preset,
        settings=settings or (),
        pairs=pairs,
        device=device,
    )
    if dry_run:
        return _plan(words.configure(words.name_reward().names), out, resume, store, device, card)
    found = words.look_up(out, root(store))
    if place.rank == 0:
        run = found.config
        notes = remarks(run, preset or presets.default_preset(method, run.model), settings or [])
        _announce(run, found.reason, found.folder, place.size, [*found.resolved.notes, *notes])
    with resumable("--resume"):
        run_training(
            found,
            store=root(store),
            device=device,
            resume=resume,
            skip_bad=bad_rows is BadRows.skip,
            deterministic=deterministic,
            trackers=trackers,
            log=log,
        )
    if place.rank == 0:
        _conclude(found.config, found.folder, reward)


def _announce(run: RunConfig, reason: str, out: Path, processes: int, notes: Sequence[str]) -> None:
    """Prints what the run trains on, where it goes, and what was chosen for the user."""
    source = f"{run.prompts}, reward {run.reward}"
    if run.pairs:
        source = f"the pairs {run.pairs}, evaluated on {source}"
    log(
        f"training {run.method} on the model {with_reason(run.model, reason)}: {run.samples} images of {source}, "
        f"preset {run.preset}, seed {run.seed}; into {out}"
        + (f"; {processes} processes share the work" if processes > 1 else "")
    )
    for note in notes:
        log(note)


def _conclude(run: RunConfig, out: Path, reward: str | None) -> None:
    """Prints the reward before and after the training, and the command that evaluates the run.

    Both are means of the same images on fixed prompts and noise; without these, it is the last rollout's mean.

    ``reward`` is what the user named; of a reward that a server computes, only its address can be asked again.
    """
    rows = read_metrics(out, log)
    trained = [row for row in rows if "images_per_second" in row]
    fixed = [row["eval.reward"] for row in rows if "eval.reward" in row]
    words = ["bench", "eval", "--model", run.model, "--checkpoint", str(out)]
    words += ["--prompts", run.prompts, "--rewards", reward if reward and has_address(reward) else run.reward]
    line = f"evaluate it next: {shlex.join(words)}"
    if len(fixed) > 1:
        images = counted(run.train.eval_images, "fixed image")
        line = f"mean {run.reward} of {images}: {fixed[0]:.3g} before the training, {fixed[-1]:.3g} after it; {line}"
    elif trained and "reward" in trained[-1]:
        images = trained[-1]["samples"] - (trained[-2]["samples"] if len(trained) > 1 else 0)
        rollout = f"the last rollout's {counted(images, 'image')}"
        line = f"reward {trained[-1]['reward']:.3g} is the mean of {rollout}; {line}"
    log(line)


def _plan(
    run: RunConfig, out: Path | None, resume: bool, store: Path | None, device: str | None, card: str | None
) -> None:
    """Prints memory and hours of the run on the named card, this machine's, or usual ones. Loads no weights.

    Raises UsageError for whatever the real run would refuse, and prints what it would miss on this machine.
    """
    from benchbench.reproduce.card_estimate import training_table
    from benchbench.train import identity, inputs, run_folder

    missing, folder = inputs.check(run, device), out or folder_of(run, root(store))
    if not missing:  # a run in the folder is compared by the content of its inputs, which must be here
        identify = partial(identity.identify, inputs.look_up(run))
        if not run_folder.check_run_folder(run, folder, resume, identify, log):
            log(f"{folder} is complete already; the run would do nothing")
    weights = "every weight" if run.train.finetune == "full" else f"an adapter of rank {run.train.lora_rank}"
    log(
        f"a dry run: {run.method} would train {weights} of {run.model} with reward {run.reward}, preset {run.preset}; "
        "computing its memory, nothing is loaded"
    )
    for line in missing:
        log(f"missing: {line}")
    rows, notes = training_table(run, memory_table.cards(device, card))
    table(memory_table.COLUMNS, rows)
    for line in notes:
        log(line)

"""``bench tune``. Imports the search, which loads torch, only inside the function."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchbench import choice
from benchbench.cli.backend_options import Jobs, On, RayAddress, Slurm
from benchbench.cli.options import ModelName, PromptsName, RewardName, Store, integers
from benchbench.cli.ui import log, resumable
from benchbench.runtime.backends.choice import BackendChoice
from benchbench.store import root

Budget = Annotated[
    int | None, typer.Option(min=1, help="Work of a training, in images of ddpo. Default: 384 on shapes, else 10000.")
]
Rates = Annotated[str, typer.Option(help="Learning rates, separated by commas.")]
Seeds = Annotated[str, typer.Option(help="Training seeds, separated by commas; 100 and up.")]
Validation = Annotated[
    str | None, typer.Option(help="Prompts to choose on. Default: shapes-complex.validation, else activities.")
]
Guard = Annotated[
    str | None, typer.Option(help="A reward that must not fall. Default: shapes-oracle on shapes, none elsewhere.")
]
MaxLoss = Annotated[
    float,
    typer.Option(min=0, help="How much the guard may fall: as a fraction, else in SD of the base model."),
]
Pairs = Annotated[str | None, typer.Option(help="Pairs that an offline method learns from.")]
Out = Annotated[Path | None, typer.Option(help="File of the preset. Default: in tunings/ of the store.")]


def tune(
    method: Annotated[str, typer.Argument(help="The method (bench list methods).", show_default=False)],
    model: ModelName = None,
    reward: RewardName = None,
    budget: Budget = None,
    rates: Rates = "5e-4,1e-3,2e-3,4e-3,8e-3",
    seeds: Seeds = "100,101",
    prompts: PromptsName = None,
    validation: Validation = None,
    guard: Guard = None,
    max_loss: MaxLoss = 0.05,
    pairs: Pairs = None,
    out: Out = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and exit.")] = False,
    on: On = "local",
    jobs: Jobs = None,
    slurm: Slurm = None,
    ray_address: RayAddress = "auto",
    store: Store = None,
) -> None:
    """Search a method's learning rate by one protocol for all methods. Writes a report and a preset.

    Every method gets the same work, rates and seeds; the choice is made on validation prompts (docs/tuning.md).
    Example: bench tune ddpo --model shapes --reward shapes-colour --budget 96 --rates 1e-3,4e-3
    """
    model_name = str(choice.choose_model(model, None)[0])
    names = choice.choose_reward(reward, model_name, method)
    for note in names.notes:
        log(note)
    with resumable():
        from benchbench.tune import run
        from benchbench.tune.search import make_search

        search = make_search(
            method,
            model_name,
            names.names[0],
            prompts=prompts,
            validation=validation,
            pairs=pairs,
            guard=guard,
            max_loss=max_loss,
            budget=budget,
            rates=_rates(rates),
            seeds=integers(seeds, "--seeds"),
        )
        run.tune(
            search,
            root(store),
            out=out,
            where=BackendChoice(on, jobs, tuple(slurm or ()), ray_address),
            dry_run=dry_run,
            log=log,
        )


def _rates(text: str) -> list[float]:
    """Returns the numbers of ``1e-3,2e-3``. Raises BadParameter for anything but different positive numbers."""
    try:
        rates = [float(word) for word in text.split(",")]
    except ValueError:
        rates = []
    if not rates or len(set(rates)) < len(rates) or not all(0 < rate < 1 for rate in rates):
        message = f"{text!r} is not a list of different numbers between 0 and 1, as 1e-3,2e-3"
        raise typer.BadParameter(message, param_hint="--rates")
    return rates

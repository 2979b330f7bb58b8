"""``bench compare``."""

from __future__ import annotations

from typing import Annotated

import typer

from benchbench.cli.options import (
    BatchSize,
    Device,
    Dtype,
    EvalSeeds,
    ImagesPerPrompt,
    ModelName,
    PromptsName,
    Store,
    integers,
)
from benchbench.cli.ui import log, resumable
from benchbench.python.compare import run_comparison
from benchbench.report.page_file import page_file
from benchbench.report.plain import result_text
from benchbench.store import root


def compare(
    run_a: Annotated[
        str, typer.Argument(help="A run's id or folder, an adapter's folder, or base; several seeds: RUN,RUN,RUN.")
    ],
    run_b: Annotated[str, typer.Argument(help="The run or runs to compare it with, or base.")],
    rewards: Annotated[
        str | None,
        typer.Option(
            help="Names or servers' addresses separated by commas, or all. Default: those trained on and those that "
            "fit the model."
        ),
    ] = None,
    prompts: PromptsName = None,
    model: ModelName = None,
    images_per_prompt: ImagesPerPrompt = 5,
    eval_seeds: EvalSeeds = "0",
    batch_size: BatchSize = None,
    dtype: Dtype = "auto",
    store: Store = None,
    device: Device = None,
) -> None:
    """Compare two runs, or a run and the base model. Tests each reward and shows the prompts that differ most.

    Model and prompts are those that the runs were trained with, unless you name others.
    """
    with resumable():
        result = run_comparison(
            run_a,
            run_b,
            model,
            prompts,
            rewards,
            store=root(store),
            images_per_prompt=images_per_prompt,
            eval_seeds=integers(eval_seeds, "--eval-seeds"),
            batch_size=batch_size,
            device=device,
            dtype=dtype,
            log=log,
        )
    log(result_text(result.answer, page_file(result.folder, False), [result.table]))

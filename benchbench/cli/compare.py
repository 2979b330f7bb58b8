"""``bench compare``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

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
from benchbench.report.table import format_gain, format_interval, format_number, format_verdict
from benchbench.store import root

if TYPE_CHECKING:
    from benchbench.evaluate.compare import Comparison


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
        labels, result = run_comparison(
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
    _print_differences(*labels, result)


def _print_differences(label_a: str, label_b: str, comparison: Comparison) -> None:
    """Prints the difference under each reward with its tests, and the path of the report."""
    log(f"{label_a} less {label_b}; p alone and corrected for {len(comparison.verdicts)} rewards (Holm):")
    for name, verdict in comparison.verdicts.items():
        cell = comparison.table.cells[name]["difference"]
        parts = [
            format_number(cell.value, None, True),
            format_interval(cell.low, cell.high, cell.value, True),
            format_gain(cell),
            format_verdict(cell),
            f"p = {verdict.p:.4f}, {verdict.holm:.4f}",
        ]
        log(f"  {name}: {', '.join(filter(None, parts))}")
    log(f"report: {page_file(comparison.folder, False)}")

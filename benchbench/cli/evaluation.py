"""``bench eval``."""

from __future__ import annotations

from typing import Annotated

import typer

from benchbench.choice import split_names
from benchbench.cli.backend_options import DrawingJobs
from benchbench.cli.options import (
    BatchSize,
    Device,
    Dtype,
    EvalSeeds,
    ImagesPerPrompt,
    ModelName,
    Store,
    assignments,
    finite,
    integers,
)
from benchbench.cli.ui import log, resumable
from benchbench.python.evaluate import run_evaluation
from benchbench.report.page_file import page_file
from benchbench.report.plain import result_text
from benchbench.store import root

Checkpoints = Annotated[
    list[str] | None,
    typer.Option(
        metavar="RUN...",
        help="Rows beside the base: run ids, folders, files, hub ids, or names of bench list checkpoints.",
    ),
]
Rows = Annotated[
    list[str] | None,
    typer.Option(
        metavar="LABEL=RUN,RUN...",
        help="A row of several trainings that differ in their seeds: --row ours=RUN,RUN,RUN --row d3po=RUN,RUN,RUN.",
    ),
]
HiddenAlias = Annotated[list[str] | None, typer.Option(hidden=True, help="The same as --checkpoint.")]
Rewards = Annotated[str, typer.Option(help="Names or servers' addresses separated by commas, or all that are here.")]
Steps = Annotated[
    int | None,
    typer.Option(
        min=1, max=999, help="Denoising steps. Default: those of the trainings, or 20; of a flow-matching model 40."
    ),
]
GuidanceScale = Annotated[
    float | None,
    typer.Option(
        min=0,
        callback=finite,
        help="Scale of classifier-free guidance. Default: that of the trainings, or 5; of a flow-matching model 4.5.",
    ),
]
OfAuthors = Annotated[
    bool,
    typer.Option(
        "--authors-sampler",
        help="Sample every row with the steps and guidance of a released checkpoint's authors.",
    ),
]


def _share(value: float | None) -> float | None:
    """Returns a strength. Raises BadParameter unless it lies above 0 and at most at 1."""
    if finite(value) is not None and not 0 < float(value or 0) <= 1:
        raise typer.BadParameter(f"{value} is not above 0 and at most 1")
    return value


Strength = Annotated[
    float | None,
    typer.Option(
        callback=_share,
        help="Edit the pictures that the prompts name: the share of the steps that are taken, above 0 and at most 1. "
        "See docs/editing.md.",
    ),
]
Compiled = Annotated[
    bool, typer.Option("--compile", help="Compile the network's blocks: faster on GPUs, changes rounding.")
]
ChannelsLast = Annotated[
    bool, typer.Option("--channels-last", help="Use the channels-last memory layout: faster on GPUs, changes rounding.")
]


def evaluate(
    prompts: Annotated[str, typer.Option(help="A prompt set (bench list prompts), a file, or a folder of edits.")],
    rewards: Rewards,
    model: ModelName = None,
    checkpoint: Checkpoints = None,
    adapter: HiddenAlias = None,
    row: Rows = None,
    images_per_prompt: ImagesPerPrompt = 5,
    eval_seeds: EvalSeeds = "0",
    steps: Steps = None,
    guidance_scale: GuidanceScale = None,
    authors_sampler: OfAuthors = False,
    strength: Strength = None,
    batch_size: BatchSize = None,
    compiled: Compiled = False,
    channels_last: ChannelsLast = False,
    dtype: Dtype = "auto",
    store: Store = None,
    device: Device = None,
    jobs: DrawingJobs = None,
) -> None:
    """Generate and score images of a model and its checkpoints. Makes only what the store does not hold."""
    seeds = integers(eval_seeds, "--eval-seeds")
    rows = {label: split_names(runs) for label, runs in assignments(row or [], "--row", "ours=RUN,RUN").items()}
    with resumable():
        result = run_evaluation(
            model,
            [*(checkpoint or []), *(adapter or [])],
            rows,
            prompts,
            rewards,
            store=root(store),
            images_per_prompt=images_per_prompt,
            eval_seeds=seeds,
            sampler={"steps": steps, "guidance_scale": guidance_scale, "strength": strength},
            authors_sampler=authors_sampler,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            compiled=compiled,
            channels_last=channels_last,
            jobs=jobs,
            log=log,
        )
    log(result_text(result.answer, page_file(result.folder, result.table.quick), [result.table]))

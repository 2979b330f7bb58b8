"""``bench eval``."""

from __future__ import annotations

from typing import Annotated

import typer

from benchbench.cli import choice
from benchbench.cli.options import Device, Dtype, ModelName, Store, integers
from benchbench.cli.ui import log, resumable

Checkpoints = Annotated[
    list[str] | None,
    typer.Option(
        metavar="RUN...",
        help="Rows beside the base: run ids, folders, files, hub ids, or names of bench list checkpoints.",
    ),
]
HiddenAlias = Annotated[list[str] | None, typer.Option(hidden=True, help="The same as --checkpoint.")]
Steps = Annotated[
    int | None, typer.Option(min=1, max=1000, help="Denoising steps. Default: those of the trainings, or 20.")
]
GuidanceScale = Annotated[
    float | None, typer.Option(min=0, help="Of classifier-free guidance. Default: that of the trainings, or 5.")
]
Compiled = Annotated[
    bool, typer.Option("--compile", help="Compile the UNet's blocks: faster on GPUs, changes rounding.")
]
ChannelsLast = Annotated[
    bool, typer.Option("--channels-last", help="The UNet's memory layout: faster on GPUs, changes rounding.")
]


def evaluate(
    prompts: Annotated[str, typer.Option(help="A set (bench list prompts), or a file.")],
    rewards: Annotated[str, typer.Option(help="Names separated by commas, or all that are here.")],
    model: ModelName = None,
    checkpoint: Checkpoints = None,
    adapter: HiddenAlias = None,
    images_per_prompt: Annotated[int, typer.Option(min=1)] = 5,
    eval_seeds: Annotated[str, typer.Option(help="Seeds of the images, separated by commas.")] = "0",
    steps: Steps = None,
    guidance_scale: GuidanceScale = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Images at a time: memory, not results. Default: by their size.")
    ] = None,
    compiled: Compiled = False,
    channels_last: ChannelsLast = False,
    dtype: Dtype = "auto",
    store: Store = None,
    device: Device = None,
) -> None:
    """Generate, score and tabulate a model and its adapters; makes only what the store does not hold."""
    from benchbench.store import root

    chosen, why = choice.model(model, device)
    seeds = integers(eval_seeds, "--eval-seeds")
    found = choice.look_up(chosen, prompts, lambda: choice.rewards(rewards, str(chosen)), lambda _: None)
    checkpoints = [*(checkpoint or []), *(adapter or [])]
    log(
        f"evaluating {', '.join(['base', *checkpoints])} on the model {chosen} ({why}): {images_per_prompt} images a "
        f"prompt of {prompts}, rewards {', '.join(found.rewards)}; into {root(store)}"
    )
    for note in found.notes:
        log(note)

    from benchbench.evaluate import evaluate
    from benchbench.report import folder

    asked = {"steps": steps, "guidance_scale": guidance_scale}

    with resumable():
        result = evaluate(
            found.model,
            checkpoints,
            found.prompts,
            list(found.rewards.values()),
            store=root(store),
            images_per_prompt=images_per_prompt,
            eval_seeds=seeds,
            sampler={name: value for name, value in asked.items() if value is not None},
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            compiled=compiled,
            channels_last=channels_last,
            log=log,
        )
    log(result.table.markdown())
    log(f"report: {folder.page_file(result.folder, result.table.quick)}")

"""``bench eval``."""

from __future__ import annotations

from typing import Annotated

import typer

from benchbench.cli import choice
from benchbench.cli.options import Device, Dtype, ModelName, Store, integers
from benchbench.cli.ui import all_at_once, resumable, say
from benchbench.rewards import lookup


def evaluate(
    prompts: Annotated[str, typer.Option(help="A set (bench list prompts), or a file.")],
    rewards: Annotated[str, typer.Option(help="Names separated by commas, or all that are here.")],
    model: ModelName = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            "--adapter",
            "--checkpoint",
            metavar="RUN...",
            help="Rows beside the base: run ids, folders, files, hub ids, or names of bench list checkpoints.",
        ),
    ] = None,
    images_per_prompt: Annotated[int, typer.Option(min=1)] = 5,
    eval_seeds: Annotated[str, typer.Option(help="Seeds of the images, separated by commas.")] = "0",
    steps: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Denoising steps. Default: those of the trainings, or 20.")
    ] = None,
    guidance_scale: Annotated[
        float | None, typer.Option(min=0, help="Of classifier-free guidance. Default: that of the trainings, or 5.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Images at a time: memory, not results. Default: by their size.")
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the UNet's blocks: faster on GPUs, changes rounding.")
    ] = False,
    channels_last: Annotated[
        bool, typer.Option("--channels-last", help="The UNet's memory layout: faster on GPUs, changes rounding.")
    ] = False,
    dtype: Dtype = "auto",
    store: Store = None,
    device: Device = None,
) -> None:
    """Generate, score and tabulate a model and its adapters; makes only what the store does not hold."""
    from benchbench import prompts as prompt_sets
    from benchbench.hub import models
    from benchbench.prompts.words import check_vocabulary
    from benchbench.store import root

    model_name, why = choice.model(model, device)
    seeds = integers(eval_seeds, "--eval-seeds")
    chosen: list[str] = []
    notes: list[str] = []

    def check_rewards() -> None:
        found, said = choice.rewards(rewards, model_name)
        chosen.extend(found)
        notes.extend(said)
        all_at_once(*(lambda name=name: lookup.require(name) for name in found))

    def check_prompts() -> None:
        found = prompt_sets.load(prompts)
        check_vocabulary(found, model_name)

    all_at_once(check_rewards, check_prompts, lambda: models.folder(model_name))
    rows = ", ".join(["base", *(adapter or [])])
    say(
        f"evaluating {rows} on the model {model_name} ({why}): {images_per_prompt} images a prompt of {prompts}, "
        f"rewards {', '.join(chosen)}; into {root(store)}"
    )
    for note in notes:
        say(note)

    from benchbench.evaluate import evaluate
    from benchbench.report import folder

    asked = {"steps": steps, "guidance_scale": guidance_scale}

    with resumable():
        result = evaluate(
            model_name,
            adapter or [],
            prompt_sets.load(prompts),
            chosen,
            store=root(store),
            images_per_prompt=images_per_prompt,
            eval_seeds=seeds,
            sampler={name: value for name, value in asked.items() if value is not None},
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            compiled=compiled,
            channels_last=channels_last,
            say=say,
        )
    say(result.table.markdown())
    say(f"report: {folder.page_file(result.folder, result.table.quick)}")

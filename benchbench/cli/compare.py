"""``bench compare``."""

from __future__ import annotations

from typing import Annotated

import typer

from benchbench.cli import choice
from benchbench.cli.options import Device, Dtype, ModelName, PromptsName, Store, integers
from benchbench.cli.ui import all_at_once, resumable, say
from benchbench.rewards import lookup


def compare(
    run_a: Annotated[str, typer.Argument(help="A run's id or folder, an adapter's folder, or base.")],
    run_b: Annotated[str, typer.Argument(help="The same, for the other side.")],
    rewards: Annotated[
        str | None,
        typer.Option(help="Names separated by commas, or all. Default: those trained on and those that fit the model."),
    ] = None,
    prompts: PromptsName = None,
    model: ModelName = None,
    images_per_prompt: Annotated[int, typer.Option(min=1)] = 5,
    eval_seeds: Annotated[str, typer.Option(help="Seeds of the images, separated by commas.")] = "0",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Images at a time: memory, not results. Default: by their size.")
    ] = None,
    dtype: Dtype = "auto",
    store: Store = None,
    device: Device = None,
) -> None:
    """Compare two runs, or a run and the base model: tests for each reward, and the prompts where they differ most.

    Model and prompts are those that the runs were trained with, unless others are named.
    """
    from benchbench import prompts as prompt_sets
    from benchbench.evaluate.compare import compare, sides
    from benchbench.hub import models
    from benchbench.prompts.words import check_vocabulary
    from benchbench.report import folder
    from benchbench.report.table import detail_lines, format_interval, format_number
    from benchbench.store import root

    seeds = integers(eval_seeds, "--eval-seeds")
    one, other = sides(run_a, run_b, root(store))
    settings = {**other.settings, **one.settings}
    model_name, why = choice.model(model, device) if model or "model" not in settings else (settings["model"], "theirs")
    prompt_set = prompts or settings.get("prompts") or choice.prompts(None, model_name)
    chosen: list[str] = []
    notes: list[str] = []

    def check_rewards() -> None:
        trained = [side.settings["reward"] for side in (one, other) if "reward" in side.settings]
        found, said = choice.rewards(rewards, model_name) if rewards else choice.judges(model_name, trained)
        chosen.extend(found)
        notes.extend(said)
        all_at_once(*(lambda name=name: lookup.require(name) for name in found))

    def check_prompts() -> None:
        found = prompt_sets.load(prompt_set)
        check_vocabulary(found, model_name)

    all_at_once(check_rewards, check_prompts, lambda: models.folder(model_name))
    say(
        f"comparing {one.label} with {other.label} on the model {model_name} ({why}): {images_per_prompt} images a "
        f"prompt of {prompt_set}, rewards {', '.join(chosen)}; into {root(store)}"
    )
    for note in notes:
        say(note)
    with resumable():
        found = compare(
            one,
            other,
            model_name,
            prompt_sets.load(prompt_set),
            chosen,
            store=root(store),
            images_per_prompt=images_per_prompt,
            eval_seeds=seeds,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            say=say,
        )
    say(f"{one.label} less {other.label}, p alone and corrected for {len(found.verdicts)} rewards (Holm):")
    for name, verdict in found.verdicts.items():
        cell = found.table.cells[name]["difference"]
        words = [
            format_number(cell.value, None, True),
            format_interval(cell.low, cell.high, cell.value, True),
            *detail_lines(cell),
        ]
        words += [f"p = {verdict.p:.4f}, {verdict.holm:.4f}"]
        say(f"  {name}: {', '.join(filter(None, words))}")
    say(f"report: {folder.page_file(found.folder, False)}")

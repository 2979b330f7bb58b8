"""``bench compare``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from benchbench.cli import choice
from benchbench.cli.options import Device, Dtype, ModelName, PromptsName, Store, integers
from benchbench.cli.ui import log, resumable

if TYPE_CHECKING:
    from benchbench.evaluate.compare import Comparison


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
    from benchbench.evaluate.compare import compare, find_sides
    from benchbench.store import root

    seeds = integers(eval_seeds, "--eval-seeds")
    one, other = find_sides(run_a, run_b, root(store))
    settings = {**other.settings, **one.settings}
    trained = [side.settings["reward"] for side in (one, other) if "reward" in side.settings]
    chosen, why = choice.model(model, device) if model or "model" not in settings else (settings["model"], "theirs")
    base = str(chosen)
    prompts_name = prompts or settings.get("prompts") or choice.prompts(None, base)

    def judges() -> choice.Names:
        return choice.rewards(rewards, base) if rewards else choice.judges(base, trained)

    found = choice.look_up(chosen, prompts_name, judges, lambda _: None)
    log(
        f"comparing {one.label} with {other.label} on the model {base} ({why}): {images_per_prompt} images a "
        f"prompt of {prompts_name}, rewards {', '.join(found.rewards)}; into {root(store)}"
    )
    for note in found.notes:
        log(note)
    with resumable():
        result = compare(
            one,
            other,
            found.model,
            found.prompts,
            list(found.rewards.values()),
            store=root(store),
            images_per_prompt=images_per_prompt,
            eval_seeds=seeds,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            log=log,
        )
    _tell(one.label, other.label, result)


def _tell(one: str, other: str, found: Comparison) -> None:
    """Prints the difference under each reward with its tests, and where the report is."""
    from benchbench.report import folder
    from benchbench.report.table import detail_lines, format_interval, format_number

    log(f"{one} less {other}, p alone and corrected for {len(found.verdicts)} rewards (Holm):")
    for name, verdict in found.verdicts.items():
        cell = found.table.cells[name]["difference"]
        words = [
            format_number(cell.value, None, True),
            format_interval(cell.low, cell.high, cell.value, True),
            *detail_lines(cell),
        ]
        words += [f"p = {verdict.p:.4f}, {verdict.holm:.4f}"]
        log(f"  {name}: {', '.join(filter(None, words))}")
    log(f"report: {folder.page_file(found.folder, False)}")

"""``bench compare``. Imports evaluate, which loads pandas, only inside the function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from benchbench.cli import choice
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
    split_names,
)
from benchbench.cli.references import references
from benchbench.cli.ui import log, resumable
from benchbench.report.page_file import page_file
from benchbench.report.table import detail_lines, format_interval, format_number
from benchbench.runtime.words import counted
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
    from benchbench.evaluate.compare import compare, find_sides

    seeds = integers(eval_seeds, "--eval-seeds")
    run_a, run_b = (",".join(references(split_names(words), store)) for words in (run_a, run_b))
    side_a, side_b = find_sides(run_a, run_b, root(store))
    settings = {**side_b.settings, **side_a.settings}
    trained_on = [side.settings["reward"] for side in (side_a, side_b) if "reward" in side.settings]
    if model or "model" not in settings:
        chosen_model, reason = choice.choose_model(model, device)
    else:
        chosen_model, reason = settings["model"], "as trained"
    model_name = str(chosen_model)
    prompts_name = prompts or settings.get("prompts") or choice.choose_prompts(None, model_name)

    def name_rewards() -> choice.RewardNames:
        if rewards:
            return choice.choose_rewards(rewards, model_name)
        return choice.default_comparison_rewards(model_name, trained_on)

    resolved = choice.resolve(chosen_model, prompts_name, name_rewards, lambda _: None)
    log(
        f"comparing {side_a.label} with {side_b.label} on the model {model_name} ({reason}): "
        f"{counted(images_per_prompt, 'image')} a prompt of {prompts_name}, "
        f"rewards {', '.join(resolved.rewards)}; into {root(store)}"
    )
    for note in resolved.notes:
        log(note)
    options = {"images_per_prompt": images_per_prompt, "eval_seeds": seeds, "batch_size": batch_size}
    options |= {"device": device, "dtype": dtype, "log": log}
    reward_classes = list(resolved.rewards.values())
    with resumable():
        result = compare(side_a, side_b, resolved.model, resolved.prompts, reward_classes, store=root(store), **options)
    _print_differences(side_a.label, side_b.label, result)


def _print_differences(label_a: str, label_b: str, comparison: Comparison) -> None:
    """Prints the difference under each reward with its tests, and the path of the report."""
    log(f"{label_a} less {label_b}; p alone and corrected for {len(comparison.verdicts)} rewards (Holm):")
    for name, verdict in comparison.verdicts.items():
        cell = comparison.table.cells[name]["difference"]
        parts = [
            format_number(cell.value, None, True),
            format_interval(cell.low, cell.high, cell.value, True),
            *detail_lines(cell),
            f"p = {verdict.p:.4f}, {verdict.holm:.4f}",
        ]
        log(f"  {name}: {', '.join(filter(None, parts))}")
    log(f"report: {page_file(comparison.folder, False)}")

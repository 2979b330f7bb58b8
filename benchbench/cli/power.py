"""``bench power``. Imports what loads pandas only inside the function."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchbench.cli.options import finite, integers
from benchbench.cli.ui import log, table


def power(
    report: Annotated[Path, typer.Argument(help="A report's folder, with two trainings or more of a row.")],
    trainings: Annotated[str, typer.Option(help="Numbers of trainings of a row, separated by commas.")] = "3,5,10,20",
    prompts: Annotated[int | None, typer.Option(min=2, help="Number of prompts. Default: the report's.")] = None,
    effects: Annotated[
        str, typer.Option(help="True differences to the base, in SD of its images, separated by commas.")
    ] = "0.2,0.5,1",
    tests: Annotated[int, typer.Option(min=1, help="Tests that Holm's correction would count.")] = 1,
) -> None:
    """Tell what a comparison can find before it is run, from one that was made.

    Differences vary between trainings, prompts and images as in the report; the test is that of every table.
    """
    sizes, counts = _numbers(effects), integers(trainings, "--trainings")
    if min(counts) < 1:
        raise typer.BadParameter(f"{trainings!r} holds a 0", param_hint="--trainings")
    from benchbench.evaluate.power import plan

    spreads, designs = plan(report, counts, prompts, sizes, tests)
    log("SD of a row's difference to the base, in SD of the base's images, pooled over the rows:")
    table(
        ["table", "reward", "between trainings", "between prompts", "of one training on one prompt"],
        [[s.table, s.reward, *(f"{value:.2f}" for value in s[2:])] for s in spreads],
    )
    log("")
    counted = "one test" if tests == 1 else f"Holm's correction for {tests} tests"
    log(f"found at 5 %, with {counted}; a verdict takes five trainings whatever this says:")
    table(
        ["table", "reward", "trainings", "prompts", "found in 80 of 100", *(f"found of {e:g} SD" for e in sizes)],
        [
            [d.table, d.reward, d.trainings, d.prompts, f"{d.smallest:.2f} SD", *(f"{share:.0%}" for share in d.found)]
            for d in designs
        ],
    )


def _numbers(text: str) -> list[float]:
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) <= 0:
        raise typer.BadParameter(f"{text!r} is not a list of numbers like 0.2,0.5,1", param_hint="--effects")
    for number in numbers:
        finite(number)
    return numbers

"""Options of ``bench study new``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchbench.study.design import Answers

Name = Annotated[str, typer.Argument(help="The study's name: its folder is studies/NAME in the store.")]
Rows = Annotated[
    list[str],
    typer.Option(
        "--row", metavar="LABEL=RUN", help="A row: a run, a checkpoint, or just base. One row: its images are compared."
    ),
]
Questions = Annotated[
    list[str], typer.Option("--question", help="What raters are asked about each pair; several are allowed.")
]
Raters = Annotated[int, typer.Option(min=1, help="How many people take part.")]
PromptsDrawn = Annotated[int | None, typer.Option(min=1, help="So many prompts, drawn by the seed. Default: all.")]
ImagesPerPrompt = Annotated[int, typer.Option(min=1, help="Images of each row for each prompt and seed.")]
Against = Annotated[
    list[str] | None, typer.Option(metavar="LABEL", help="Compare only with this row. Default: every two rows.")
]
AnswerSet = Annotated[Answers, typer.Option(help="What a rater may answer; bad: both pictures are bad.")]
VotesPerPair = Annotated[int | None, typer.Option(min=1, help="Raters who see each pair. Default: all of them.")]
Repeats = Annotated[int | None, typer.Option(min=0, help="Pairs that a rater sees again. Default: one of 15.")]
Checks = Annotated[int | None, typer.Option(min=0, help="Attention checks of a rater. Default: one for 15 pairs.")]
LeastPassed = Annotated[
    float, typer.Option(min=0, max=1, help="The rule: who passes a smaller share of checks is excluded.")
]
LeastKept = Annotated[
    float, typer.Option(min=0, max=1, help="The rule: who keeps the answer on a smaller share of repeats is excluded.")
]
Consent = Annotated[Path | None, typer.Option(help="A text file that raters agree to. Default: a short text.")]
SharedStart = Annotated[
    bool, typer.Option("--shared-start", help="Images of one prompt start from one x_T, as in D3PO's human mode.")
]
Steps = Annotated[int | None, typer.Option(min=1, max=999, help="Denoising steps. Default: the runs' own, or 20.")]
GuidanceScale = Annotated[float | None, typer.Option(min=0, help="Guidance scale. Default: the runs' own, or 5.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of sides, order, repeats, checks and drawn prompts.")]
Out = Annotated[Path | None, typer.Option(help="A new folder instead of studies/NAME in the store.")]

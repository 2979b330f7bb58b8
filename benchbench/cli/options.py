"""Options that several commands share, with completion of names, and how their lists are read."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from benchbench import prompts as prompt_sets
from benchbench import registry


def _complete(kind: registry.Kind) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [name for name in registry.names(kind) if name.startswith(incomplete)]

    return complete


def _complete_prompts(incomplete: str) -> list[str]:
    return [name for name in prompt_sets.names() if name.startswith(incomplete)]


MethodName = Annotated[
    str, typer.Option("--method", autocompletion=_complete("methods"), help="The method (bench list methods).")
]
ModelName = Annotated[
    str | None,
    typer.Option("--model", help="shapes, shapes-flow, sd15, sdxl, a folder or id. Default: sd15 on CUDA, or shapes."),
]
RewardName = Annotated[
    str | None,
    typer.Option(
        "--reward",
        autocompletion=_complete("rewards"),
        help="The reward (bench list rewards), or the address of a server that computes one, as http://host:8000.",
    ),
]
PromptsName = Annotated[
    str | None,
    typer.Option("--prompts", autocompletion=_complete_prompts, help="A prompt set (bench list prompts) or a file."),
]
Store = Annotated[
    Path | None, typer.Option("--store", help="Folder of images, scores and runs. Default: $BENCH_HOME, ./bench-store.")
]
Dtype = Annotated[
    Literal["auto", "fp32", "bf16", "fp16"],
    typer.Option(
        "--dtype",
        help="Precision of the network; part of an image's key. "
        "auto: bf16 on a GPU that has it in hardware, fp16 on an older one, fp32 on a CPU.",
    ),
]


def finite(value: float | None) -> float | None:
    """Returns the number of an option. Raises BadParameter for infinity and NaN, which fulfil every bound."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


Device = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda, cuda:1, ... Default: CUDA where there is one.")
]
ImagesPerPrompt = Annotated[int, typer.Option(min=1, help="Images for each prompt and seed.")]
EvalSeeds = Annotated[str, typer.Option(help="Seeds of the images, separated by commas.")]
BatchSize = Annotated[
    int | None,
    typer.Option(min=1, help="Images at a time; changes memory and not results. Default: chosen by image size."),
]


def integers(text: str, option: str) -> list[int]:
    """Returns the numbers of ``0,1,2``. Raises BadParameter where one is negative or named twice."""
    numbers = [word.strip() for word in text.split(",")]
    if not all(number.isdecimal() for number in numbers) or len(set(numbers)) < len(numbers):
        raise typer.BadParameter(f"{text!r} is not a list of different numbers like 0,1,2", param_hint=option)
    return [int(number) for number in numbers]


def assignments(words: list[str], option: str, example: str) -> dict[str, str]:
    """Returns words like ``A=B`` as a mapping. Raises BadParameter for another form or a name that comes twice."""
    mapping: dict[str, str] = {}
    for word in words:
        name, equals, value = (part.strip() for part in word.partition("="))
        if not (name and equals and value) or name in mapping:
            raise typer.BadParameter(f"{word!r} is not of the form {example}, once each", param_hint=option)
        mapping[name] = value
    return mapping

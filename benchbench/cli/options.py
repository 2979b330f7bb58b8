"""Options that several commands share, with completion of names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from benchbench import registry


def _complete(kind: registry.Kind) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [name for name in registry.names(kind) if name.startswith(incomplete)]

    return complete


def _complete_prompts(incomplete: str) -> list[str]:
    from benchbench import prompts

    return [name for name in prompts.names() if name.startswith(incomplete)]


MethodName = Annotated[
    str, typer.Option("--method", autocompletion=_complete("methods"), help="See: bench list methods.")
]
ModelName = Annotated[
    str | None,
    typer.Option("--model", help="shapes, sd15, sd21, sdxl, a folder or hub id. Default: sd15 on CUDA, or shapes."),
]
RewardName = Annotated[
    str | None, typer.Option("--reward", autocompletion=_complete("rewards"), help="See: bench list rewards.")
]
PromptsName = Annotated[
    str | None,
    typer.Option("--prompts", autocompletion=_complete_prompts, help="A set (bench list prompts), or a file."),
]
Store = Annotated[
    Path | None, typer.Option("--store", help="Folder of images, scores and runs. Default: $BENCH_HOME, ./bench-store.")
]
Dtype = Annotated[
    Literal["auto", "fp32", "bf16", "fp16"],
    typer.Option(
        "--dtype",
        help="Precision of the UNet; part of an image's key. "
        "auto: bf16 on a GPU that has it in hardware, fp16 on an older one, fp32 on a CPU.",
    ),
]
Device = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda, cuda:1, ... Default: CUDA where there is one.")
]


def integers(text: str, option: str) -> list[int]:
    """``0,1,2`` as numbers, none negative and none twice."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words) or len(set(words)) < len(words):
        raise typer.BadParameter(f"{text!r} is not a list of different numbers like 0,1,2", param_hint=option)
    return [int(word) for word in words]


def reward_words(text: str) -> list[str]:
    """``a,b=1,c=2,d`` as rewards: neighbours with weights are one ensemble, here of b and c."""
    found: list[str] = []
    for word in words(text):
        if "=" in word and found and "=" in found[-1]:
            found[-1] += f",{word}"
        else:
            found.append(word)
    return found


def words(text: str) -> list[str]:
    """``a,b`` as names."""
    return [word.strip() for word in text.split(",") if word.strip()]


def pairs_of(given: list[str], option: str, example: str) -> dict[str, str]:
    """``A=B`` words, each A once, as a mapping."""
    found = {}
    for text in given:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value) or name in found:
            raise typer.BadParameter(f"{text!r} is not of the form {example}, once each", param_hint=option)
        found[name] = value
    return found

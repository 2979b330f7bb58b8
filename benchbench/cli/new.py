"""``bench new``."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from benchbench.cli.ui import log
from benchbench.contract import new_package


class Kind(StrEnum):
    """A kind of template."""

    method = "method"
    reward = "reward"
    prompts = "prompts"


TRY = {
    Kind.method: "bench train --method {name} --model shapes --samples 16",
    Kind.reward: "bench train --method tailorpo --model shapes --reward {name} --samples 16",
    Kind.prompts: "bench eval --model shapes --prompts {name} --rewards shapes-oracle",
}


def new(
    kind: Annotated[Kind, typer.Argument(show_default=False)],
    name: Annotated[str, typer.Argument(show_default=False, help="Its name, as my-method.")],
    folder: Annotated[Path, typer.Option("--in", help="The folder in which the package's folder is made.")] = Path(),
) -> None:
    """Write a package with a method, a reward or a prompt set to start from. It works at once.

    Example: bench new method my-method
    """
    files = new_package.write(kind.value, name, folder)
    for file in files:
        log(f"wrote {file}")
    log(f"next: cd {shlex.quote(str(folder / name))} && pip install -e . && bench check {name} && pytest")
    log(f"then: {TRY[kind].format(name=name)}")

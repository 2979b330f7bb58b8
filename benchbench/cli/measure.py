"""``bench measure``. Imports the protocols, which load pandas, only inside the function."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from benchbench.cli.options import Device, Dtype, ModelName, PromptsName, RewardName, Store
from benchbench.cli.ui import log, resumable
from benchbench.protocols import WHERE
from benchbench.python.measure import run_measurement
from benchbench.report.page_file import page_file
from benchbench.report.plain import result_text
from benchbench.store import root

Protocol = StrEnum("Protocol", {name.replace("-", "_"): name for name in WHERE})  # type: ignore[misc]


def measure(
    protocol: Annotated[Protocol, typer.Argument(show_default=False)],
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]...", help="Run ids or folders; each is a row.")
    ] = None,
    model: ModelName = None,
    prompts: PromptsName = None,
    reward: RewardName = None,
    quick: Annotated[bool, typer.Option("--quick", help="Measure few states: takes minutes, never a result.")] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE...", help="states=24 steps=[12,8] ...")
    ] = None,
    dtype: Dtype = "auto",
    store: Store = None,
    device: Device = None,
) -> None:
    """Measure a protocol of the papers on a model and its runs. Makes only what the store does not hold."""
    with resumable():
        result = run_measurement(
            protocol.value,
            runs or [],
            model,
            prompts,
            reward,
            store=root(store),
            quick=quick,
            settings=settings or [],
            device=device,
            dtype=dtype,
            log=log,
        )
    log(result_text(result.answer, page_file(result.folder, quick), [result.table]))

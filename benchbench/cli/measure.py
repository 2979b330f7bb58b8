"""``bench measure``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from benchbench.cli import choice
from benchbench.cli.options import Device, Dtype, ModelName, PromptsName, RewardName, Store
from benchbench.cli.ui import log, resumable
from benchbench.protocols import WHERE

Protocol = StrEnum("Protocol", {name.replace("-", "_"): name for name in WHERE})  # type: ignore[misc]


def measure(
    protocol: Annotated[Protocol, typer.Argument(show_default=False)],
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]...", help="Run ids or folders; each is a row.")
    ] = None,
    model: ModelName = None,
    prompts: PromptsName = None,
    reward: RewardName = None,
    quick: Annotated[bool, typer.Option("--quick", help="Few states: minutes, and nothing to quote.")] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE...", help="states=24 steps=[12,8] ...")
    ] = None,
    dtype: Dtype = "auto",
    store: Store = None,
    device: Device = None,
) -> None:
    """Measure a protocol of the papers on a model and its runs; makes only what the store does not hold."""
    from benchbench.protocols import PROTOCOLS
    from benchbench.protocols.run import parse_settings, run_protocol
    from benchbench.report import folder
    from benchbench.store import root

    chosen, why = choice.model(model, device)
    base = str(chosen)
    found = choice.look_up(
        chosen,
        choice.prompts(prompts, base),
        lambda: choice.reward(reward, base),
        lambda _: parse_settings(PROTOCOLS[protocol.value], quick, settings or []),
    )
    rows = ", ".join(runs or ["the base model"])
    log(
        f"measuring {protocol.value} of {rows} on the model {base} ({why}), prompts {found.prompts.name}, reward "
        f"{', '.join(found.rewards)}; into {root(store)}"
    )
    for note in found.notes:
        log(note)
    with resumable():
        result = run_protocol(
            protocol.value,
            runs or [],
            found.model,
            found.prompts,
            found.reward,
            store=root(store),
            quick=quick,
            overrides=settings or [],
            device=device,
            dtype=dtype,
            log=log,
        )
    log(result.table.markdown())
    log(f"report: {folder.page_file(result.folder, quick)}")

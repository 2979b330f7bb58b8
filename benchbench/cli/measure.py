"""``bench measure``. Imports the protocols, which load pandas, only inside the function."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from benchbench.cli import choice
from benchbench.cli.options import Device, Dtype, ModelName, PromptsName, RewardName, Store
from benchbench.cli.references import references
from benchbench.cli.ui import log, resumable
from benchbench.protocols import PROTOCOLS, WHERE
from benchbench.report.page_file import page_file
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
    from benchbench.protocols.run import parse_settings, run_protocol

    measured = PROTOCOLS[protocol.value]
    chosen_model, reason = choice.choose_model(model, device)
    model_name = str(chosen_model)
    resolved = choice.resolve(
        chosen_model,
        choice.choose_prompts(prompts or measured.default_prompts, model_name),
        lambda: choice.choose_reward(reward or measured.only_reward, model_name),
        lambda _: parse_settings(measured, quick, settings or []),
        edits=measured.edits,
    )
    named = references(runs or [], store)
    rows = ", ".join(named or ["the base model"])
    log(
        f"measuring {protocol.value} of {rows} on the model {model_name} ({reason}), prompts {resolved.prompts.name}, "
        f"reward {', '.join(resolved.rewards)}; into {root(store)}"
    )
    for note in resolved.notes:
        log(note)
    with resumable():
        result = run_protocol(
            protocol.value,
            named,
            resolved.model,
            resolved.prompts,
            resolved.reward,
            store=root(store),
            quick=quick,
            overrides=settings or [],
            device=device,
            dtype=dtype,
            log=log,
        )
    log(result.table.markdown())
    log(f"report: {page_file(result.folder, quick)}")

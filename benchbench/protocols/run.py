"""A protocol on the base model and runs, with its report: what ``bench measure`` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from benchbench import config
from benchbench.errors import UsageError
from benchbench.evaluate.measure import BASE
from benchbench.hub import models
from benchbench.hub.models import LocalModel
from benchbench.protocols import PROTOCOLS
from benchbench.protocols.measurement import Measurement, MeasureSettings
from benchbench.report import derived, folder
from benchbench.report.sections import Page, RecordSection, Section, TableSection
from benchbench.report.table import Table
from benchbench.rewards import lookup
from benchbench.runtime.files import Log
from benchbench.runtime.provenance import record
from benchbench.store.runs import Adapter, adapter
from benchbench.types import PromptSet, Reward


@dataclass(frozen=True)
class Result:
    """Rows by row label, the table, and the folder of the report."""

    frames: dict[str, pd.DataFrame]
    table: Table
    folder: Path


def settings_of(protocol: Measurement[Any], quick: bool, overrides: Sequence[str]) -> MeasureSettings:
    """The defaults, or the quick settings, with ``key=value`` words. Errors: UsageError naming every wrong one."""
    values: dict[str, Any] = protocol.quick.model_dump(mode="json") if quick else {}
    errors = []
    for text in overrides:
        key, equals, raw = text.partition("=")
        if equals:
            values[key.strip()] = config.value(raw)
        else:
            errors.append(f"{text!r} is not of the form key=value")
    try:
        made = protocol.Settings.model_validate(values)
    except ValidationError as error:
        errors += [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
    if errors:
        known = ", ".join(protocol.Settings.model_fields)
        raise UsageError(f"settings are wrong for {protocol.name}", "; ".join(errors), f"its settings: {known}")
    return made


def run(
    name: str,
    runs: Sequence[str],
    model: str | LocalModel,
    prompts: PromptSet,
    reward: str | type[Reward],
    *,
    store: Path,
    quick: bool = False,
    overrides: Sequence[str] = (),
    device: str | None = None,
    dtype: str = "auto",
    log: Log = print,
) -> Result:
    """Measures every row, the base model first where the protocol has one, and writes the report.

    Errors: those of the protocol.
    """
    from benchbench.diffusion import backbones

    protocol = PROTOCOLS[name]
    settings = settings_of(protocol, quick, overrides)
    here, kind = models.find(model), lookup.as_class(reward)
    rows: list[tuple[str, Adapter | None]] = [(BASE, None)] if protocol.has_base or not runs else []
    adapters = [adapter(store, reference) for reference in dict.fromkeys(runs)]
    rows += [(found.label, found) for found in adapters]
    key, values = protocol.compared or ("", ("",))
    if key in {text.partition("=")[0].strip() for text in overrides}:
        values = (getattr(settings, key),)
    frames: dict[str, pd.DataFrame] = {}
    options: dict[str, Any] = {"store": store, "device": device, "dtype": dtype, "log": log}
    for label, found in rows:
        for value in values:
            own = settings.model_copy(update={key: value}) if key else settings
            row = label if not key else value if len(rows) == 1 else f"{label}, {value}"
            frames[row] = protocol.measure(here, found, prompts, kind, own, **options)
    about = f"{here.label}, prompts {prompts.name}, reward {kind.name}"
    table = protocol.table(frames, settings, about, name=f"{name}-{prompts.name}", quick=quick)
    asked: dict[str, Any] = {"protocol": name, "model": here.name, "prompts": prompts.name, "reward": kind.name}
    asked |= {"settings": settings.model_dump(mode="json"), "dtype": protocol.precision(dtype, device)}
    weights = {here.name: here.own_hash, **{found.label: found.hash for found in adapters}}
    ran = record(asked, weights, str(backbones.pick_device(device)))
    trainings = {found.run.id: found.run.config for found in adapters if found.run}
    records = RecordSection(records={"this measurement": ran, **trainings})
    page = Page(
        title=f"{protocol.title}: {about}",
        intro=protocol.paper,
        sections=(*sections(table, getattr(settings, "baseline", None) or BASE), records),
        quick=quick,
    )
    return Result(frames, table, folder.write(store, f"{name}-{prompts.name}", page))


def sections(table: Table, against: str = BASE) -> tuple[Section, ...]:
    """The table, its rows as curves where its columns are steps, and as bars where they are outcomes."""
    drawn = (derived.step_curves(table), derived.outcome_bars(table, against))
    return (TableSection(title=table.title, tables=(table,)), *(section for section in drawn if section is not None))

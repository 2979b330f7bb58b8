"""Measures a protocol on the base model and on runs, and writes the report; ``bench measure`` calls this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from benchbench import config
from benchbench.errors import UsageError
from benchbench.evaluate.measure import BASE, device_and_dtype
from benchbench.evaluate.rates import with_rates
from benchbench.evaluate.rows import short_labels
from benchbench.hub import models
from benchbench.hub.models import LocalModel
from benchbench.protocols import PROTOCOLS
from benchbench.protocols.base import PaperProtocol, ProtocolSettings, Request, samplers
from benchbench.report import derived, folder
from benchbench.report.answer import measured_answer
from benchbench.report.scores_file import write_scores
from benchbench.report.sections import Page, RecordSection, Section, TableSection
from benchbench.report.table import Table
from benchbench.rewards import lookup
from benchbench.runtime.files import Log
from benchbench.runtime.provenance import record
from benchbench.setting_errors import no_such_setting, wrong_numbers
from benchbench.store.runs import Adapter, find_adapter
from benchbench.types import PromptSet, Reward


@dataclass(frozen=True)
class ProtocolResult:
    """Rows by row label, the table, the sentence that answers it, and the folder of the report."""

    frames: dict[str, pd.DataFrame]
    table: Table
    answer: str
    folder: Path


def parse_settings(protocol: PaperProtocol[Any], quick: bool, overrides: Sequence[str]) -> ProtocolSettings:
    """Returns the default or quick settings with ``key=value`` overrides. Raises UsageError that names every error."""
    values: dict[str, Any] = protocol.quick.model_dump(mode="json") if quick else {}
    errors = []
    for text in overrides:
        key, equals, raw = text.partition("=")
        if equals:
            values[key.strip()] = config.parse_value(raw)
        else:
            errors.append(f"{text!r} is not of the form key=value")
    try:
        settings = protocol.Settings.model_validate(values)
        errors += wrong_numbers("", values, settings)
    except ValidationError as error:
        known = {key: field.description or "" for key, field in protocol.Settings.model_fields.items()}
        for item in error.errors():
            key = ".".join(map(str, item["loc"]))
            unknown = item["type"] == "extra_forbidden" and key not in known and "." not in key
            errors.append(no_such_setting(key, known) if unknown else f"{key}: {item['msg']}")
    if errors:
        names = ", ".join(protocol.Settings.model_fields)
        raise UsageError(f"settings are wrong for {protocol.name}", "; ".join(errors), f"its settings: {names}")
    return settings


def run_protocol(
    name: str,
    runs: Sequence[str | Path],
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
) -> ProtocolResult:
    """Measures every row, the base model first if the protocol has it as a row, and writes the report.

    Raises what the protocol raises.
    """
    protocol, model, reward_class = PROTOCOLS[name], models.find(model), lookup.as_class(reward)
    settings = protocol.fitted(parse_settings(protocol, quick, overrides), model)
    adapters = [find_adapter(store, reference) for reference in dict.fromkeys(runs)]
    base_rows: list[tuple[str, Adapter | None]] = [(BASE, None)] if protocol.has_base or not runs else []
    labels = short_labels(adapters) if protocol.rows_by_method else [adapter.label for adapter in adapters]
    models_by_label = [*base_rows, *zip(labels, adapters, strict=True)]
    compared, values = protocol.compared or ("", ("",))
    if compared in {text.partition("=")[0].strip() for text in overrides}:
        values = (getattr(settings, compared),)
    frames: dict[str, pd.DataFrame] = {}
    asked_rows: dict[str, Request[Any]] = {}
    for label, adapter in models_by_label:
        for value in values:
            row_settings = settings.model_copy(update={compared: value}) if compared else settings
            row = label if not compared else value if len(models_by_label) == 1 else f"{label}, {value}"
            asked_rows[row] = Request(model, adapter, prompts, reward_class, row_settings, store, device, dtype, log)
            frames[row] = protocol.rows(asked_rows[row])
    trained = [adapter.settings for adapter in adapters]
    about = f"{model.label}, prompts {prompts.name}, reward {reward_class.name}"
    with_sampler = ". ".join(filter(None, [about, protocol.sampled(settings, model, trained)]))
    steps = samplers(settings, model, trained)[0].steps
    table = protocol.table(frames, settings, with_sampler, name=f"{name}-{prompts.name}", quick=quick, steps=steps)
    table = with_rates(table, {label: [adapter] for label, adapter in zip(labels, adapters, strict=True)})
    named = {"protocol": name, "model": model.name, "prompts": prompts.name, "reward": reward_class.name}
    asked = {**named, "settings": settings.model_dump(mode="json"), "dtype": protocol.precision(dtype, device)}
    weights = {model.name: model.hash, **{adapter.label: adapter.hash for adapter in adapters}}
    measured_on = record(asked, weights, device_and_dtype(device, "auto")[0])
    of_runs = {adapter.run.id: adapter.run.config for adapter in adapters if adapter.run}
    page = Page(
        title=f"{protocol.title}: {about}",
        answer=measured_answer(protocol.title, [label for label, _ in models_by_label]),
        intro=protocol.paper,
        sections=(
            *table_sections(table, getattr(settings, "baseline", None) or BASE),
            *protocol.sections(asked_rows, frames, table),
            RecordSection(records={"this measurement": measured_on, **of_runs}),
        ),
        quick=quick,
    )
    report_folder = folder.write(store, f"{name}-{prompts.name}", page)
    write_scores(report_folder, {table.stem: frames})
    return ProtocolResult(frames, table, page.answer, report_folder)


def table_sections(table: Table, against: str = BASE) -> tuple[Section, ...]:
    """Returns the table, then its rows as curves if its columns are steps, and as bars if they are outcomes.

    ``against`` is the label of the baseline that outcomes are counted against.
    """
    plots = (derived.step_curves(table), derived.outcome_bars(table, against))
    return (TableSection(title=table.title, tables=(table,)), *(section for section in plots if section is not None))

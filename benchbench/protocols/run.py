"""A protocol on the base model and runs, with its report: what ``bench measure`` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from benchbench import config
from benchbench.api import PromptSet
from benchbench.errors import UsageError
from benchbench.evaluate.measure import BASE
from benchbench.protocols import PROTOCOLS
from benchbench.protocols.measurement import Measurement, MeasureSettings
from benchbench.report import folder
from benchbench.report.sections import Curves, Line, Page, Panel, Section, Tables
from benchbench.report.table import Table
from benchbench.store.files import Say
from benchbench.store.runs import adapter


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
    model: str,
    prompts: PromptSet,
    reward: str,
    *,
    store: Path,
    quick: bool = False,
    overrides: Sequence[str] = (),
    device: str | None = None,
    say: Say = print,
) -> Result:
    """Measures every row, the base model first where the protocol has one, and writes the report.

    Errors: those of the protocol.
    """
    protocol = PROTOCOLS[name]
    settings = settings_of(protocol, quick, overrides)
    rows: list[tuple[str, str | None]] = [(BASE, None)] if protocol.has_base or not runs else []
    rows += [(adapter(store, found).label, found) for found in runs]
    key, values = protocol.compared or ("", ("",))
    if key in {text.partition("=")[0].strip() for text in overrides}:
        values = (getattr(settings, key),)
    frames: dict[str, pd.DataFrame] = {}
    for label, found in rows:
        for value in values:
            own = settings.model_copy(update={key: value}) if key else settings
            row = label if not key else value if len(rows) == 1 else f"{label}, {value}"
            frames[row] = protocol.measure(model, found, prompts, reward, own, store=store, device=device, say=say)
    about = f"{Path(model).name if Path(model).is_dir() else model}, prompts {prompts.name}, reward {reward}"
    table = protocol.table(frames, settings, about, name=f"{name}-{prompts.name}", quick=quick)
    page = Page(title=f"{protocol.title}: {about}", intro=protocol.paper, sections=sections(table), quick=quick)
    return Result(frames, table, folder.write(store, f"{name}-{prompts.name}", page))


def sections(table: Table) -> tuple[Section, ...]:
    """The table, and its rows as curves where its columns are steps."""
    shown: list[Section] = [Tables(title=table.title, tables=(table,))]
    steps = [(int(c.key[2:]), c.key) for c in table.columns if c.key.startswith("t=")]
    if len(steps) > 1:
        groups: dict[str, list[Line]] = {}
        for row in table.rows:
            points = [(k, cell) for k, key in sorted(steps) if (cell := table.get(row, key))]
            label, _, what = row.partition(": ")
            bounded = all(cell.low is not None and cell.high is not None for _, cell in points)
            line = Line(
                label=label,
                x=tuple(float(k) for k, _ in points),
                y=tuple(cell.value for _, cell in points),
                low=tuple(float(cell.low or 0) for _, cell in points) if bounded else None,
                high=tuple(float(cell.high or 0) for _, cell in points) if bounded else None,
            )
            groups.setdefault(what or table.title.lower(), []).append(line)
        panels = tuple(Panel(x_label="step t", y_label=what, lines=tuple(lines)) for what, lines in groups.items())
        caption = "Over the step index t (the noisy end is on the right), with the intervals of the table as bands."
        shown.append(Curves(title="Over the steps", caption=caption, panels=panels))
    return tuple(shown)

"""Sources and edits side by side, under their instructions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from benchbench.evaluate.edits import source_picture
from benchbench.noise import Sample
from benchbench.prompt_set import metadata
from benchbench.protocols.base import Request
from benchbench.protocols.edited_pictures import BOUNDS, Edits, edits_of
from benchbench.report.grids import ROWS, data_uri
from benchbench.report.sections import GridRow, GridSection

WORDS = {(1, 1): "changed, kept", (1, 0): "changed", (0, 1): "kept", (0, 0): "neither"}


def edits_grid(asked: Mapping[str, Request[Any]]) -> GridSection:
    """Returns a grid of the first edit of each attribute: sources above, then each model at each strength.

    Under each edit stands what the oracle says of it. The images are in the store already.
    """
    by_row: dict[str, Edits] = {}
    for label, request in asked.items():
        for edits in edits_of(replace(request, log=lambda _: None), request.settings.strengths):
            by_row[f"{label}, {edits.name}"] = edits
    shown_rows = {row: edits for row, edits in by_row.items() if edits.name not in BOUNDS}
    first = next(iter(shown_rows.values())).generations[0]
    by_attribute: dict[str, Sample] = {}
    for sample in first.entries:
        by_attribute.setdefault(metadata([sample.prompt])[0]["attribute"], sample)
    samples = list(by_attribute.values())
    source = source_picture(first)
    assert source is not None
    rows = [GridRow(label="source", images=tuple(data_uri(source(sample)) for sample in samples))]
    for label, edits in list(shown_rows.items())[: ROWS - 1]:
        generation = edits.generations[0]
        said = edits.frame().set_index(["eval_seed", "prompt_index", "sample"])
        keys = [(generation.seed, sample.index, sample.number) for sample in samples]
        notes = tuple(WORDS[int(said.changed[key]), int(said.kept[key])] for key in keys)
        images = tuple(data_uri(generation.images.read(sample)) for sample in samples)
        rows.append(GridRow(label=label, images=images, notes=notes))
    left_out = len(shown_rows) - (len(rows) - 1)
    caption = (
        "The first edit of each attribute in the set, not selected. Every row has the same noise (seed "
        f"{first.seed}, sample 0). Above: the instruction, which is for readers, and the prompt, which the model gets. "
        "Under each picture: what the oracle says." + (f" {left_out} rows are left out." if left_out else "")
    )
    headings = [f"{metadata([sample.prompt])[0]['instruction']} (prompt: {sample.prompt})" for sample in samples]
    return GridSection(title="Sources and edits", caption=caption, prompts=tuple(headings), rows=tuple(rows))

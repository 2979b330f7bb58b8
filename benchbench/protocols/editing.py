"""Editing, judged by the oracle of the shapes world: what an edit changed as asked, and what it kept.

A picture of a scene is noised and denoised under the caption of the target, which differs from the source in one
attribute. *Changed*: the oracle reads the target's value of that attribute. *Kept*: it reads the source's value of each
of the four others. *Both*: an edit that did what was asked and nothing else. The more noise, the more is changed and
the less is kept, so that one number of the two says little.

Three rows of the base model bound the table. Sources, and drawings of perfect edits, that are only encoded and decoded
show what the VAE and the oracle lose by themselves; the captions without any picture show how often the model paints
what is asked without seeing it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

import pandas as pd
from pydantic import Field

from benchbench.errors import UsageError
from benchbench.prompt_set import metadata, sources
from benchbench.protocols.base import PaperProtocol, ProtocolCost, ProtocolSettings, Request
from benchbench.protocols.edited_pictures import BOUNDS, edits_of
from benchbench.protocols.edits_grid import edits_grid
from benchbench.protocols.step_table import TableStyle
from benchbench.report.sections import Section, TableSection
from benchbench.report.table import Cell, Column, Table, make_cell
from benchbench.rewards import lookup
from benchbench.runtime.words import counted
from benchbench.shapes.attributes import ATTRIBUTES
from benchbench.stats.intervals import LEVEL
from benchbench.stats.proportions import share

Strength = Annotated[float, Field(gt=0, le=1)]
VALUES = ("changed", "kept", "both")
FIELDS = ("attribute", "source", "instruction")  # of each prompt's metadata


class EditingSettings(ProtocolSettings):
    """The strengths and the images of the protocol."""

    strengths: tuple[Strength, ...] = Field(
        (0.25, 0.5, 0.75), min_length=1, description="shares of the steps that edits take [DSPO paper: 0.75]"
    )
    images_per_prompt: int = Field(5, ge=1, description="edits of each picture [ours]")
    eval_seeds: tuple[int, ...] = Field((0,), min_length=1, description="seeds of the images")


class Editing(PaperProtocol[EditingSettings]):
    """Shares of edits that changed what was asked, that kept all else, and that did both."""

    name = "editing"
    title = "Editing"
    paper = "text-guided editing as in DSPO (ICLR 2025), Table 4, with an oracle in place of rewards"
    Settings = EditingSettings
    quick = EditingSettings(images_per_prompt=1, strengths=(0.5,))
    default_prompts = "shapes-edits"
    only_reward = "shapes-oracle"
    edits = True
    rows_by_method = True

    def rows(self, asked: Request[EditingSettings]) -> pd.DataFrame:
        """Returns a row per edit: ``edit`` names its strength, and changed, kept and both are 0 or 1.

        The base model has more rows, which bound these. The store keeps images and not what the oracle reads, which
        takes no time. Raises UsageError for prompts that are no edits of scenes.
        """
        _check(asked)
        frames = [part.frame() for part in edits_of(asked, asked.settings.strengths)]
        return pd.concat(frames, ignore_index=True)

    def cost(self, settings: EditingSettings, steps: int) -> ProtocolCost:
        """Returns the cost of one prompt and one model."""
        images = settings.images_per_prompt * len(settings.eval_seeds)
        taken = sum(int(steps * strength) for strength in settings.strengths)
        return ProtocolCost(images * taken, 0, images * len(settings.strengths))

    def make_table(self, frames: Mapping[str, pd.DataFrame], settings: EditingSettings, style: TableStyle) -> Table:
        """Returns the table with a row per model and strength, and the columns changed, kept and both."""
        prompts = {int(index) for frame in frames.values() for index in frame.prompt_index}
        caption = (
            f"{style.about}Shares of edits of {counted(len(prompts), 'picture')}, "
            f"{counted(settings.images_per_prompt, 'edit')} each. changed: the oracle reads the asked value of the "
            "attribute to edit; kept: the source's value of each of the four others; both: both. The rows of sources "
            "and of drawn perfect edits that are only encoded and decoded, and of prompts without a source, bound the "
            f"others. In brackets: {style.level:.0%} interval clustered by prompt. Each run is one training, which its "
            "rows describe."
        )
        cells: dict[str, dict[str, Cell]] = {}
        for row, part in _by_row(frames):
            cells[row] = {value: make_cell(share(part.assign(score=part[value]), style.level)) for value in VALUES}
        return Table(
            name=style.name,
            title=self.title,
            caption=caption,
            rows=tuple(cells),
            columns=tuple(Column(key=value, unit="share", better="higher") for value in VALUES),
            cells=cells,
            quick=style.quick,
        )

    def sections(
        self, asked: Mapping[str, Request[EditingSettings]], frames: Mapping[str, pd.DataFrame], table: Table
    ) -> Sequence[Section]:
        """Returns a table by the attribute to edit, and a grid of sources and edits under their instructions."""
        by_attribute = attribute_table(frames, table)
        return [TableSection(title=by_attribute.title, tables=(by_attribute,)), edits_grid(asked)]


def attribute_table(frames: Mapping[str, pd.DataFrame], whole: Table) -> Table:
    """Returns the shares of ``both`` in the rows of the whole table, with a column for each attribute to edit."""
    cells: dict[str, dict[str, Cell]] = {}
    for row, part in _by_row(frames):
        groups = part.assign(score=part.both).groupby("attribute")
        cells[row] = {str(attribute): make_cell(share(edits)) for attribute, edits in groups}
    present = [attribute for attribute in ATTRIBUTES if any(attribute in row for row in cells.values())]
    return whole.model_copy(
        update={
            "name": f"{whole.name}-by-attribute",
            "title": "Both, by the attribute to edit",
            "caption": f"The share both of the table above, of edits of each attribute alone. {LEVEL:.0%} intervals.",
            "columns": tuple(Column(key=attribute, unit="share", better="higher") for attribute in present),
            "cells": cells,
        }
    )


def _by_row(frames: Mapping[str, pd.DataFrame]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yields each row's name and its edits; the rows that bound the table do not name the base model."""
    for label, frame in frames.items():
        for name, part in frame.groupby("edit", sort=False):
            yield (str(name) if name in BOUNDS else f"{label}, {name}"), part


def _check(asked: Request[EditingSettings]) -> None:
    """Raises UsageError for prompts that do not say what they edit, and for another reward than the oracle."""
    prompts, reward = asked.prompts, lookup.as_class(asked.reward).name
    rows = metadata(prompts.prompts, FIELDS)
    known = all(row.get("attribute") in ATTRIBUTES and len(row) == len(FIELDS) for row in rows)
    if not known or not all(sources(prompts.prompts)):
        raise UsageError(
            f"{prompts.name} cannot be judged by the oracle",
            f"each prompt needs a picture, and the fields {', '.join(FIELDS)} in its metadata",
            "use --prompts shapes-edits; edits of other pictures are scored by bench eval --strength 0.75",
        )
    if reward != Editing.only_reward:
        raise UsageError(
            f"editing is not measured under {reward}",
            "only the oracle says which attribute was changed",
            "leave --reward out; rewards score edits in bench eval --strength 0.75",
        )

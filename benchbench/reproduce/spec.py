"""The schema of a paper table's YAML file, and of the published values beside it."""

from __future__ import annotations

import csv
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from benchbench import registry
from benchbench.errors import UsageError
from benchbench.runtime.yaml_files import read_yaml

HERE = Path(__file__).parent
PUBLISHED = Path(str(resources.files("benchbench.reproduce.published")))
"""results/published of the repository, wherever this runs from."""
TRACKS = "tracks.yaml"  # what every table has in common on a base model

ProtocolName = Literal[
    "reward-table",
    "win-rate",
    "jensen-gap",
    "guidance-ratio",
    "preference-order",
    "cost",
    "curve",
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Row(_Model):
    """A row: a training, or the base model where there is no method. In YAML a bare word is a method."""

    method: str | None = None
    set: list[str] = []
    """Settings that differ from the method's preset, as ``method.eta=0.5``."""
    reward: str | None = None
    """What it is trained on, where that is not the column's: a published column, or a reward such as spm."""
    times: int = Field(1, gt=0)
    """Trained on so many times the track's samples."""
    checkpoint: str = ""
    """A released checkpoint to evaluate in place of a training."""


class Block(_Model):
    """One prompt set that the rows are evaluated on."""

    prompts: str
    images: int = Field(gt=0)
    """Of each prompt."""
    published: str | None = None
    """The published prompt set whose values stand beside ours."""


class Track(_Model):
    """The table on one base model. ``rewards`` maps ours to the published column that it is set beside."""

    model: str
    train_prompts: str
    samples: int = Field(gt=0)
    blocks: list[Block] = Field(min_length=1)
    rewards: dict[str, str]
    train_reward: str | None = None
    """The reward of every training. None: each column is a training of its own on its reward."""
    quick_rewards: list[str] = []
    """The columns of --quick; empty: the first one, or all of them where they share their trainings."""
    quick_rows: list[str] = []
    """The rows of --quick beside the base; empty: all of them."""
    gold: str | None = None
    """A reward that shows hacking: every column is followed by it, on the same images."""
    set: dict[str, list[str]] = {}
    """Settings of single rows on this model, after those of the row itself."""
    unavailable: dict[str, str] = {}
    """Rows that cannot be made on this model, with the reason."""
    pairs: str | None = None
    """The preference pairs of offline methods; None: those that training makes by itself on the shapes model."""
    sampler: dict[str, float] | None = None
    """How images are made for the table, where that is not how the trainings made theirs."""
    settings: dict[str, Any] = {}
    """Of the table's protocol."""


class Spec(_Model):
    """A published table: its rows, its protocol, and how each track makes it."""

    id: str
    title: str
    source: str
    about: str
    published: str | None
    """The file with the published values; None: a figure, of which the paper prints no number."""
    paper_track: str
    protocol: ProtocolName = "reward-table"
    rows: dict[str, Row]
    tracks: dict[str, Track]
    notes: list[str] = []

    @field_validator("rows", mode="before")
    @classmethod
    def _words(cls, rows: dict[str, Any]) -> dict[str, Any]:
        return {name: {"method": row} if row is None or isinstance(row, str) else row for name, row in rows.items()}

    @model_validator(mode="after")
    def _rows_exist(self) -> Spec:
        for name, track in self.tracks.items():
            strangers = {*track.set, *track.unavailable} - {*self.rows}
            if strangers:
                raise ValueError(f"track {name} names rows that are not there: {', '.join(sorted(strangers))}")
        return self

    def values(self, prompts: str | None = None) -> dict[tuple[str, str], float]:
        """The published numbers (no standard deviations) by (row, column), of one prompt set or of all."""
        return {
            (line["row"], line["column"]): float(line["value"])
            for line in self.published_lines()
            if line["statistic"] != "std" and prompts in (None, line["prompts"])
        }

    def published_lines(self) -> list[dict[str, str]]:
        """The lines of the published file."""
        if self.published is None:
            return []
        with (PUBLISHED / self.published).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


def names() -> list[str]:
    """Every table that can be reproduced, as ``tailorpo:2``."""
    stems = [path.stem.split("-") for path in HERE.glob("*-*.yaml")]
    stems.sort(key=lambda stem: (stem[0], not stem[1].isdigit(), int(stem[1]) if stem[1].isdigit() else 0, stem[1]))
    return [":".join(stem) for stem in stems]


def load(table: str) -> Spec:
    """The table by its name. Errors: UsageError with the nearest names."""
    if table not in names():
        raise registry.unknown("table", table, names(), "bench list tables shows every name")
    raw = _yaml(f"{table.replace(':', '-')}.yaml")
    common = _yaml(TRACKS)
    raw["tracks"] = {name: {**common.get(name, {}), **(own or {})} for name, own in raw["tracks"].items()}
    return Spec.model_validate(raw)


def _yaml(name: str) -> dict[str, Any]:
    raw: dict[str, Any] = read_yaml((HERE / name).read_text(encoding="utf-8"))
    return raw


def track_of(spec: Spec, name: str) -> Track:
    """One track of a table. Errors: UsageError."""
    if name not in spec.tracks:
        raise UsageError(
            f"{spec.id} has no track {name!r}",
            f"it has {', '.join(spec.tracks)}",
            f"bench reproduce {spec.id} --track {next(iter(spec.tracks))}",
        )
    return spec.tracks[name]

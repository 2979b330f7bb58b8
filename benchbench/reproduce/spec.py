"""The schema of a table's YAML file, and the published values that belong to it."""

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
"""The folder of published values: results/published of the repository, also in an installed package."""
TRACKS = "tracks.yaml"
"""Defaults of all tables, by track."""

ProtocolName = Literal[
    "reward-table",
    "win-rate",
    "jensen-gap",
    "guidance-ratio",
    "preference-order",
    "cost",
    "curve",
    "study",
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Row(_Model):
    """A row: a method's trainings, or the base model where no method is given. In YAML a bare word is a method."""

    method: str | None = None
    best_of: int = Field(1, ge=1)
    """The number of images of the base model, of which the column's reward, or that of all trainings, chooses one."""
    set: list[str] = []
    """Settings that override the method's preset, as ``method.eta=0.5``."""
    reward: str | None = None
    """The reward to train on, where it is not the column's: a published column's name, a reward, or
    ``step-aware``, the base model's own step-aware preference model."""
    times: int = Field(1, gt=0)
    """A factor on the track's number of training samples."""
    samples: int | None = Field(None, gt=0)
    """Images of its trainings. None: those of an offline method's preset, else the track's."""
    checkpoint: str = ""
    """A released checkpoint that replaces the trainings."""

    @property
    def is_base(self) -> bool:
        """True for the base model itself."""
        return self.method is None and self.best_of == 1

    @model_validator(mode="after")
    def _best_of_the_base(self) -> Row:
        if self.best_of > 1 and (self.method or self.checkpoint):
            raise ValueError("best_of chooses among images of the base model; leave method and checkpoint out")
        return self


class Block(_Model):
    """A prompt set that the rows are evaluated on."""

    prompts: str
    images: int = Field(gt=0)
    """Images for each prompt."""
    published: str | None = None
    """The prompt set, in the published file, whose values are printed beside ours."""


class Track(_Model):
    """A table's settings on one base model. ``rewards`` maps each of our columns to the published one beside it."""

    model: str
    train_prompts: str
    samples: int = Field(gt=0)
    blocks: list[Block] = Field(min_length=1)
    rewards: dict[str, str]
    train_reward: str | None = None
    """The reward of every training. None: each column has its own trainings, on its reward."""
    quick_rewards: list[str] = []
    """The columns under --quick. Empty: the first one, or all where they share trainings."""
    quick_blocks: list[Block] = []
    """The prompt sets under --quick. Empty: all of them."""
    quick_rows: list[str] = []
    """The rows under --quick besides the base. Empty: all of them."""
    gold: str | None = None
    """A gold reward, which shows reward hacking: it is measured on every column's images."""
    set: dict[str, list[str]] = {}
    """Settings of single rows on this track; they come after the row's own."""
    unavailable: dict[str, str] = {}
    """Rows that cannot be made on this track, with the reason."""
    pairs: str | None = None
    """The preference pairs of offline methods. None: training makes its own, on the shapes model."""
    sampler: dict[str, float | str | None] | None = None
    """Sampler settings of the evaluation, where they differ from the trainings'."""
    settings: dict[str, Any] = {}
    """Settings of the table's protocol."""


class Ablation(_Model):
    """Says what an ablation varies: each row but ``of`` equals it in all settings but those that ``varies`` names."""

    of: str
    """The row that the others are compared with."""
    varies: dict[str, list[str]] = Field(min_length=1)
    """The settings in which a row may differ from it, as ``method.eta``, ``train.finetune`` or ``reward``."""


class Stop(_Model):
    """Stopping in time: each training is measured at the checkpoint that validation prompts choose."""

    validation: str
    """The prompts that choose."""
    guard: str
    """The reward whose fall is the loss: nobody trains on it."""
    images: int = Field(2, gt=0)
    """Images of each validation prompt and checkpoint."""


class Claim(_Model):
    """An order of two rows that is stated before anything is run. In YAML it is ``better > worse``."""

    better: str
    worse: str

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, text: Any) -> Any:
        if not isinstance(text, str):
            return text
        better, sign, worse = (word.strip() for word in text.partition(">"))
        if not (better and sign and worse) or ">" in worse or better == worse:
            raise ValueError(f"{text!r} is not an order of two rows, as tailorpo > d3po")
        return {"better": better, "worse": worse}

    def __str__(self) -> str:
        return f"{self.better} > {self.worse}"


class Spec(_Model):
    """A published table, or a sweep: its rows, its protocol and its tracks."""

    id: str
    title: str
    source: str
    about: str
    published: str | None
    """The file with the published values. None: the paper prints no numbers, as for a figure."""
    paper_track: str
    protocol: ProtocolName = "reward-table"
    rows: dict[str, Row]
    tracks: dict[str, Track]
    ablation: Ablation | None = None
    """The settings that the rows vary, where the table is an ablation."""
    stop: Stop | None = None
    """The rule that stops trainings in time; None: they are measured at their end."""
    claims: list[Claim] = []
    """Orders of two rows, tested as one family on each prompt set, over the rewards that rows were trained on."""
    notes: list[str] = []
    file: str = ""
    """The file of a sweep; empty for a published table, whose file its id tells."""

    @field_validator("rows", mode="before")
    @classmethod
    def _words(cls, rows: dict[str, Any]) -> dict[str, Any]:
        return {name: {"method": row} if row is None or isinstance(row, str) else row for name, row in rows.items()}

    @model_validator(mode="after")
    def _rows_exist(self) -> Spec:
        for name, track in self.tracks.items():
            unknown = {*track.set, *track.unavailable} - {*self.rows}
            if unknown:
                raise ValueError(f"track {name} names unknown rows: {', '.join(sorted(unknown))}")
        named = {row for claim in self.claims for row in (claim.better, claim.worse)}
        if unknown := named - {*self.rows}:
            raise ValueError(f"claims name unknown rows: {', '.join(sorted(unknown))}")
        if self.ablation:
            trained = {name for name, row in self.rows.items() if row.method}
            if trained != {self.ablation.of, *self.ablation.varies}:
                raise ValueError("the ablation must say what each row but the base varies")
        return self

    def values(self, prompts: str | None = None) -> dict[tuple[str, str], float]:
        """Returns the published numbers by (row, column), of one prompt set or all, without standard deviations."""
        return {
            (line["row"], line["column"]): float(line["value"])
            for line in self.published_lines()
            if line["statistic"] != "std" and prompts in (None, line["prompts"])
        }

    def published_lines(self) -> list[dict[str, str]]:
        """Returns the lines of the published file."""
        if self.published is None:
            return []
        with (PUBLISHED / self.published).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


def names() -> list[str]:
    """Returns the names of all tables, as ``tailorpo:2``."""
    stems = [path.stem.split("-") for path in HERE.glob("*-*.yaml")]
    stems.sort(key=lambda stem: (stem[0], not stem[1].isdigit(), int(stem[1]) if stem[1].isdigit() else 0, stem[1]))
    return [":".join(stem) for stem in stems]


def load(table: str) -> Spec:
    """Returns a table by its name. Errors: UsageError with the nearest names."""
    if table not in names():
        raise registry.unknown("table", table, names(), "bench list tables shows every name")
    raw = _yaml(f"{table.replace(':', '-')}.yaml")
    common = _yaml(TRACKS)
    raw["tracks"] = {name: {**common.get(name, {}), **(track or {})} for name, track in raw["tracks"].items()}
    return Spec.model_validate(raw)


def _yaml(name: str) -> dict[str, Any]:
    raw: dict[str, Any] = read_yaml((HERE / name).read_text(encoding="utf-8"))
    return raw


def track_of(spec: Spec, name: str) -> Track:
    """Returns one track of a table. Errors: UsageError."""
    if name not in spec.tracks:
        raise UsageError(
            f"{spec.id} has no track {name!r}",
            f"it has {', '.join(spec.tracks)}",
            f"bench reproduce {spec.id} --track {next(iter(spec.tracks))}",
        )
    return spec.tracks[name]

"""The schema of a paper table's YAML file, and of the published values beside it."""

from __future__ import annotations

import csv
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field

from benchbench import registry
from benchbench.errors import UsageError

HERE = Path(__file__).parent


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Track(_Model):
    """The table on one base model. ``rewards`` maps ours to the published column that it is set beside."""

    model: str
    train_prompts: str
    held_out_prompts: str | None = None
    samples: int = Field(gt=0)
    images_per_prompt: int = Field(gt=0)
    held_out_images_per_prompt: int = Field(1, gt=0)
    rewards: dict[str, str]
    quick_rewards: list[str]
    gold: str | None = None
    """A reward that shows hacking: every column is followed by it, on the same images."""
    seconds_per_sample: dict[str, float] = {}
    """Of a training, by method: for estimates only."""
    seconds_per_image: float = 0.0


class Spec(_Model):
    """A published table: its rows (a row without a method is the base model) and how each track makes it."""

    id: str
    title: str
    source: str
    about: str
    published: str
    paper_track: str
    rows: dict[str, str | None]
    tracks: dict[str, Track]
    notes: list[str] = []

    def values(self) -> dict[tuple[str, str], float]:
        """The published numbers by (row, column)."""
        with (HERE / "published" / self.published).open(encoding="utf-8", newline="") as file:
            return {(line["row"], line["column"]): float(line["value"]) for line in csv.DictReader(file)}


def names() -> list[str]:
    """Every table that can be reproduced, as ``tailorpo:2``."""
    return sorted(path.stem.replace("-", ":", 1) for path in HERE.glob("*.yaml"))


def load(table: str) -> Spec:
    """The table by its name. Errors: UsageError with the nearest names."""
    if table not in names():
        raise registry.unknown("table", table, names(), "tables that can be reproduced are listed in the README")
    raw = yaml.safe_load((HERE / f"{table.replace(':', '-')}.yaml").read_text(encoding="utf-8"))
    return Spec.model_validate(raw)


def track_of(spec: Spec, name: str) -> Track:
    """One track of a table. Errors: UsageError."""
    if name not in spec.tracks:
        raise UsageError(
            f"{spec.id} has no track {name!r}",
            f"it has {', '.join(spec.tracks)}",
            f"bench reproduce {spec.id} --track shapes",
        )
    return spec.tracks[name]

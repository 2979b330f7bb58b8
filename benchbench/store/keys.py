"""The key under which the images of one generation are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchbench.runtime.hashing import digest

SCHEMA = 1  # raised when the same key would mean other images


@dataclass(frozen=True)
class GenerationKey:
    """Everything that decides the pixels, and nothing else: device and library versions go to the record only.

    Within a generation an image is named by its prompt's index and its sample number.
    """

    model_hash: str
    adapter_hash: str | None
    sampler: Mapping[str, Any]
    dtype: str
    prompts_name: str
    prompts_hash: str
    eval_seed: int

    def fields(self) -> dict[str, Any]:
        """Returns the key and its schema as JSON-able values."""
        return {"schema": SCHEMA, **vars(self), "sampler": dict(self.sampler)}

    @property
    def id(self) -> str:
        """The generation's name: the digest of its fields."""
        return digest(self.fields())

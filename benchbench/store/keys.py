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
    shared_start: bool = False
    """True where the images of one prompt start from one x_T. It is left out of the fields where it is False."""

    def fields(self) -> dict[str, Any]:
        """Returns the key and its schema as JSON-able values."""
        fields = {"schema": SCHEMA, **vars(self), "sampler": dict(self.sampler)}
        if not self.shared_start:
            del fields["shared_start"]
        return fields

    @property
    def id(self) -> str:
        """The generation's name: the digest of its fields."""
        return digest(self.fields())

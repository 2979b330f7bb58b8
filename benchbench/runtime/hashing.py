"""Names made from content: canonical JSON, its digest, and the identity of one generation of images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEMA = 1  # raised when the same key would mean other images


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text. NaN raises ValueError."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """16 hexadecimal digits of the sha256 of the canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, 64 hexadecimal digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@dataclass(frozen=True)
class GenerationKey:
    """What decides the pixels, and nothing else: device and library versions go to the record only.

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
        """The key as JSON-able values, with the schema."""
        return {"schema": SCHEMA, **vars(self), "sampler": dict(self.sampler)}

    @property
    def id(self) -> str:
        """The generation's name: the digest of its fields."""
        return digest(self.fields())

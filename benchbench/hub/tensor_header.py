"""The header of a safetensors file: the names and shapes of its tensors, read without the tensors. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchbench.runtime.json_files import parse_object

LARGEST = 100_000_000
"""The format's own limit of a header, in bytes."""


@dataclass(frozen=True)
class TensorHeader:
    """Shapes by the tensors' names, the texts that the writer added, and whether the file is as long as it says."""

    shapes: dict[str, tuple[int, ...]]
    metadata: dict[str, str]
    whole: bool


def read_header(file: Path) -> TensorHeader | None:
    """Returns the header, which is JSON after eight bytes of length; None for a file that is no safetensors."""
    try:
        with file.open("rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            entries = parse_object(handle.read(length)) if length <= LARGEST else {}
        texts = entries.pop("__metadata__", {})
        metadata = {str(key): str(value) for key, value in texts.items()} if isinstance(texts, dict) else {}
        shapes = {name: tuple(int(size) for size in entry["shape"]) for name, entry in entries.items()}
        end = max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
        if any(size < 0 for shape in shapes.values() for size in shape):
            return None
        return TensorHeader(shapes, metadata, file.stat().st_size == 8 + length + end) if entries else None
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        return None

"""Prompts, their metadata, and sets of them. Imports nothing of benchbench but its hashes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchbench.runtime.hashing import bytes_sha256, canonical, text_sha256


class Prompt(str):
    """A prompt with the further columns of its row, such as ``{"tag": "counting"}``; in all else it is its text.

    Metadata travels with the object, so that every list, slice or repetition of prompts keeps each row's own: two rows
    may have one text and different metadata. A method may pass prompts on, and must not rebuild them from their text.
    """

    metadata: Mapping[str, Any]

    def __new__(cls, text: str, metadata: Mapping[str, Any] | None = None) -> Prompt:
        """Returns the text with its metadata, none by default."""
        prompt = super().__new__(cls, text)
        prompt.metadata = metadata or {}
        return prompt


def metadata(prompts: Sequence[str], fields: Collection[str] | None = None) -> list[dict[str, Any]]:
    """Returns the metadata of each prompt, empty for a plain text; with ``fields`` only those of these names."""
    rows = [getattr(prompt, "metadata", {}) for prompt in prompts]
    return [{name: row[name] for name in row if fields is None or name in fields} for row in rows]


@dataclass(frozen=True)
class PromptSet:
    """Named prompts, some of which may be ``Prompt``s with metadata. ``origin`` and ``licence`` are for readers."""

    name: str
    prompts: tuple[str, ...]
    origin: str
    licence: str

    @property
    def hash(self) -> str:
        """The sha256 of the texts in order and of all metadata, so that two splits are never mixed under one name."""
        return self.hash_of(metadata(self.prompts))

    def hash_for(self, fields: Collection[str] = ()) -> str:
        """Returns the hash as far as something reads the set: of the texts, and of the metadata under these names.

        Images depend on the texts alone, and scores on the fields that a reward needs besides.
        """
        return self.hash_of(metadata(self.prompts, fields))

    def hash_of(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """Returns the hash of the texts with these metadata.

        Texts without line breaks are joined by line breaks, which is unambiguous. Any other set, and an empty one, is
        written as JSON after the byte 255, which no text in UTF-8 has, so that no two sets have one hash. A set with
        metadata is written as JSON after the byte 254, which no such text has, either.
        """
        if any(rows):
            pairs = [[text, row] for text, row in zip(self.prompts, rows, strict=True)]
            return bytes_sha256([b"\xfe", canonical(pairs).encode()])
        if not self.prompts or any("\n" in prompt for prompt in self.prompts):
            return bytes_sha256([b"\xff", canonical(list(self.prompts)).encode()])
        return text_sha256("\n".join(self.prompts))

    def __len__(self) -> int:
        return len(self.prompts)

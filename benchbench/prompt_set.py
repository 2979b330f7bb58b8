"""Prompts, their metadata and source pictures, and sets of them. Imports nothing of benchbench but its hashes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchbench.runtime.hashing import bytes_sha256, canonical, text_sha256


@dataclass(frozen=True)
class Source:
    """A picture that a model edits: its name in messages, the sha256 that stands for it in keys, and its content.

    ``read()`` returns the bytes of a picture's file. It raises CorruptError where they are no longer those of the hash.
    """

    name: str
    sha256: str
    read: Callable[[], bytes]


class Prompt(str):
    """A prompt with the further columns of its row, such as ``{"tag": "counting"}``; in all else it is its text.

    ``source`` is the picture that the prompt says how to edit, if there is one. Metadata and source travel with the
    object, so that every list, slice or repetition of prompts keeps each row's own: two rows may have one text and
    different metadata. A method may pass prompts on, and must not rebuild them from their text.
    """

    metadata: Mapping[str, Any]
    source: Source | None

    def __new__(cls, text: str, metadata: Mapping[str, Any] | None = None, source: Source | None = None) -> Prompt:
        """Returns the text with its metadata and source, none by default."""
        prompt = super().__new__(cls, text)
        prompt.metadata, prompt.source = metadata or {}, source
        return prompt


def metadata(prompts: Sequence[str], fields: Collection[str] | None = None) -> list[dict[str, Any]]:
    """Returns the metadata of each prompt, empty for a plain text; with ``fields`` only those of these names."""
    rows = [getattr(prompt, "metadata", {}) for prompt in prompts]
    return [{name: row[name] for name in row if fields is None or name in fields} for row in rows]


def sources(prompts: Sequence[str]) -> list[Source | None]:
    """Returns the source picture of each prompt; None for a prompt without one."""
    return [getattr(prompt, "source", None) for prompt in prompts]


@dataclass(frozen=True)
class PromptSet:
    """Named prompts, some of which may be ``Prompt``s with metadata. ``origin`` and ``licence`` are for readers."""

    name: str
    prompts: tuple[str, ...]
    origin: str
    licence: str

    @property
    def hash(self) -> str:
        """The sha256 of texts, metadata and source pictures, so that two splits are never mixed under one name."""
        return self.hash_of(metadata(self.prompts))

    def hash_for(self, fields: Collection[str] = ()) -> str:
        """Returns the hash as far as something reads the set: texts, source pictures, the metadata under these names.

        Images depend on texts and sources alone, and scores on the fields that a reward needs besides.
        """
        return self.hash_of(metadata(self.prompts, fields))

    def hash_of(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """Returns the hash of the texts with these metadata.

        Texts without line breaks are joined by line breaks, which is unambiguous. Any other set, and an empty one, is
        written as JSON after the byte 255, which no text in UTF-8 has, so that no two sets have one hash. A set with
        metadata is written as JSON after the byte 254, which no such text has, either, and one with source pictures,
        whose hashes stand for them, after the byte 253.
        """
        pictures = sources(self.prompts)
        if any(pictures):
            hashes = [picture.sha256 if picture else None for picture in pictures]
            triples = [list(row) for row in zip(self.prompts, rows, hashes, strict=True)]
            return bytes_sha256([b"\xfd", canonical(triples).encode()])
        if any(rows):
            pairs = [[text, row] for text, row in zip(self.prompts, rows, strict=True)]
            return bytes_sha256([b"\xfe", canonical(pairs).encode()])
        if not self.prompts or any("\n" in prompt for prompt in self.prompts):
            return bytes_sha256([b"\xff", canonical(list(self.prompts)).encode()])
        return text_sha256("\n".join(self.prompts))

    def __len__(self) -> int:
        return len(self.prompts)

"""Describes what a process of an evaluation draws, as JSON between draw_in_jobs.py and draw_job.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from benchbench.prompt_set import Prompt, Source


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AdapterFiles(_Model):
    """Where fine-tuned weights lie on this machine."""

    kind: Literal["lora", "unet", "pipeline", "single-file"]
    path: Path


class SourceFile(_Model):
    """A copy of a picture that a prompt edits."""

    name: str
    sha256: str
    path: Path


class Share(_Model):
    """Images of one generation: ``missing`` are prompt indices and sample numbers, and ``key`` its GenerationKey."""

    label: str
    key: dict[str, Any]
    adapter: AdapterFiles | None
    missing: tuple[tuple[int, int], ...]


class DrawSpec(_Model):
    """Says what a process draws, and how."""

    model: str
    root: Path
    vae: Path | None
    device: str
    loading: dict[str, bool]
    """Options of LazyModel."""
    prompts: tuple[str, ...]
    sources: dict[int, SourceFile]
    """By the index of the prompt."""
    images_per_prompt: int
    batch_size: int
    shares: tuple[Share, ...]

    def all_prompts(self) -> list[str]:
        """Returns the prompts with their sources."""
        pictures = {i: Source(file.name, file.sha256, file.path.read_bytes) for i, file in self.sources.items()}
        return [Prompt(text, source=pictures[i]) if i in pictures else text for i, text in enumerate(self.prompts)]

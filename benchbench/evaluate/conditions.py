"""The conditions that all rows of a table share: model, sampler, prompts, number of images, evaluation seeds."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from benchbench.runtime.hashing import digest
from benchbench.runtime.words import counted
from benchbench.samplers import described, steps_taken

BASE = "base"
"""The label of the base model's row, and the word that names it."""


class EvalConditions(BaseModel):
    """Two tables with the same ``digest`` may be compared. Device and batch size are no part of the conditions."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str
    model: str
    model_hash: str
    sampler: dict[str, Any]
    dtype: str
    prompts: str
    prompts_hash: str
    prompt_count: int
    images_per_prompt: int
    eval_seeds: tuple[int, ...]
    rewards: dict[str, str]
    """Version by name."""
    trained: str = ""
    """The words on training and evaluation, where the two samplers differ; a table's caption has them."""

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that name the conditions; the model counts by its hash, not by its name.

        How rows were trained is no condition of the evaluation.
        """
        return digest(self.model_dump(exclude={"model", "trained"}))

    @property
    def trained_sentence(self) -> str:
        """The sentence on both samplers with a space before it; empty where they do not differ."""
        return f" {self.trained[0].upper()}{self.trained[1:]}." if self.trained else ""

    def describe(self) -> str:
        """Returns the conditions as one sentence for captions."""
        settings = self.trained or f"sampler {described(self.sampler)}"
        if "strength" in self.sampler:
            settings += f" ({counted(steps_taken(self.sampler), 'step')})"
        seeds = ", ".join(map(str, self.eval_seeds))
        images = f"{self.images_per_prompt} image{'s' if self.images_per_prompt > 1 else ''}"
        return (
            f"{self.model} ({self.dtype}), {settings}; {self.prompt_count} prompts of {self.prompts}, "
            f"{images} each, evaluation seed{'s' if len(self.eval_seeds) > 1 else ''} {seeds}"
        )

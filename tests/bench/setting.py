"""Holds what both sides of the benchmark share: device, base model, prompts and reward."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchbench.rewards import lookup

STEPS, ETA, GUIDANCE = 20, 1.0, 5.0
SAMPLER = {"steps": STEPS, "eta": ETA, "guidance_scale": GUIDANCE}


def quiet(_: str) -> None:
    """Logs nothing."""


@dataclass(frozen=True)
class Setting:
    """A base model on a device: ``shapes`` on a CPU, ``sd15`` or ``sdxl`` with random weights on a GPU."""

    model: str
    device: str
    rounds: int
    work: Path  # for images and stores; removed afterwards
    folder: str  # the model as benchbench and diffusers name it: "shapes", or a path

    @property
    def root(self) -> Path:
        """The model's folder."""
        from benchbench.hub import models

        return models.pipeline_folder(self.folder)

    @property
    def dtype(self) -> str:
        """The networks' precision: fp32 on a CPU, bf16 on a GPU."""
        return "bf16" if self.device == "cuda" else "fp32"

    @property
    def reward(self) -> str:
        """The reward of both sides: a CLIP of the shapes world, trained on preferences like PickScore."""
        return "shapes-pref"

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """500 different prompts."""
        from benchbench import prompts

        return prompts.load("shapes-complex").prompts

    def prompts(self, count: int) -> Any:
        """Returns a PromptSet of ``count`` different texts; beyond 500 they end in a number."""
        from benchbench.api import PromptSet

        rounds = itertools.count()
        endless = (text if not i else f"{text} {i}" for i in rounds for text in self.texts)
        return PromptSet(f"first-{count}", tuple(itertools.islice(endless, count)), "made here", "none")

    @contextmanager
    def fresh(self) -> Iterator[Path]:
        """Yields an empty folder, which is removed afterwards."""
        with TemporaryDirectory(dir=self.work) as name:
            yield Path(name)

    def torch_dtype(self) -> Any:
        """Returns the networks' dtype."""
        from benchbench.diffusion.backbones import DTYPES

        return DTYPES[self.dtype]

    def load_reward(self) -> Any:
        """Returns a new instance of the reward, with its weights read from disk."""
        return lookup.get(self.reward)(self.device)

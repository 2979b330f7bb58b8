"""A training as an object: its folder, its settings, its metrics and its weights.

Imports pandas only inside a function: looking a run up must not load it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchbench.errors import RunError
from benchbench.hub import weights
from benchbench.runtime.output import silent
from benchbench.store import runs
from benchbench.store.metrics import last_metrics, read_metrics

if TYPE_CHECKING:
    import pandas as pd


class Run(os.PathLike[str]):
    """A training in its folder, complete or not.

    Every attribute is read from the folder when it is asked for, so that a Run of a training that goes on elsewhere
    shows what has been reached. A Run can be given wherever a path can, and two Runs of one folder are equal.

    Example:
        >>> run = bb.train("ddpo", model="shapes", samples=96)
        >>> run.state, run.seed, run.samples
        ('complete', 0, 96)
        >>> run.metrics[["samples", "reward"]]
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder: Path = Path(folder).expanduser().absolute()
        """The absolute path of the folder (docs/architecture.md lists its files)."""

    @property
    def id(self) -> str:
        """The name of the run, which its settings decide; ``bench`` commands take it, too."""
        return runs.read(self.folder).id

    @property
    def state(self) -> runs.State:
        """``complete``; ``resumable`` while it is trained or after an interruption; or ``damaged``."""
        return runs.read(self.folder).state

    @property
    def config(self) -> dict[str, Any]:
        """All settings of the training, as in run.json."""
        return dict(runs.read(self.folder).config.get("config", {}))

    @property
    def method(self) -> str:
        """The name of the method."""
        return str(self.config["method"])

    @property
    def model(self) -> str:
        """The name or folder of the base model."""
        return str(self.config["model"])

    @property
    def reward(self) -> str:
        """The name of the reward that it is trained on."""
        return str(self.config["reward"])

    @property
    def prompts(self) -> str:
        """The name or file of the prompts that it is trained on."""
        return str(self.config["prompts"])

    @property
    def seed(self) -> int:
        """The training seed."""
        return int(self.config["seed"])

    @property
    def samples(self) -> int:
        """The number of training images that it has seen so far."""
        return int(last_metrics(self.folder).get("samples", 0))

    @property
    def metrics(self) -> pd.DataFrame:
        """A frame with a row for each rollout and each fixed evaluation, in order.

        Its column ``samples`` is the number of training images so far; ``reward``, ``eval.reward`` and
        ``eval.win_rate`` are in it (docs/architecture.md). It is empty before the first rollout.
        """
        import pandas as pd

        return pd.DataFrame(read_metrics(self.folder, silent))

    @property
    def adapter(self) -> Path:
        """The file of the trained LoRA, or the folder ``unet`` where every weight was trained.

        ``StableDiffusionPipeline.load_lora_weights`` of diffusers reads the file.

        Raises:
            RunError: The run is not complete.
        """
        found = weights.find(self.folder) if self.state == "complete" else None
        if found is None:
            raise RunError(
                f"the run {self.id} has no trained weights yet",
                f"it is {self.state}",
                "finish it: call train with the same arguments again",
            )
        return found.path

    def __fspath__(self) -> str:
        return str(self.folder)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and self.folder == other.folder

    def __hash__(self) -> int:
        return hash(self.folder)

    def __repr__(self) -> str:
        return f"Run({self.id!r}, {self.state})"

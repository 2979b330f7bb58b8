"""One measurement in a process of its own: ``python -m benchbench.reproduce.measurement_job STORE JSON``."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import pandas as pd

    from benchbench.evaluate.measure import Measured
    from benchbench.runtime.files import Say

IMAGES = ("reward-table", "win-rate")  # the protocols that look at scores of stored images


class Cell(BaseModel):
    """What to measure: a protocol on rows of trainings (none: the base model), one prompt set, some rewards."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    protocol: str
    model: str
    rows: dict[str, list[str]]
    prompts: str
    images: int
    rewards: list[str]
    sampler: dict[str, float] | None = None
    settings: dict[str, Any] = {}
    quick: bool = False
    dtype: str = "auto"

    def scores(self, store: Path, say: Say) -> Measured:
        """Images and scores of every row; makes only what is missing."""
        from benchbench import prompts
        from benchbench.config import SamplerConfig
        from benchbench.evaluate.measure import measure

        return measure(
            self.model,
            self.rows,
            prompts.load(self.prompts),
            self.rewards,
            store=store,
            images_per_prompt=self.images,
            sampler=SamplerConfig.model_validate(self.sampler) if self.sampler else None,
            dtype=self.dtype,
            say=say,
        )

    def own(self, reward: str, store: Path, say: Say) -> dict[str, pd.DataFrame]:
        """What a protocol of its own measures under one reward, by row, a column ``train_seed`` for its trainings."""
        import pandas as pd

        from benchbench import prompts
        from benchbench.hub import models
        from benchbench.protocols import PROTOCOLS
        from benchbench.rewards import lookup

        protocol, found, settings = PROTOCOLS[self.protocol], {}, self.its_settings()
        model, prompt_set, kind = models.find(self.model), prompts.load(self.prompts), lookup.require(reward)
        options: dict[str, Any] = {"store": store, "dtype": self.dtype, "say": say}
        for row, runs in self.rows.items():
            frames = [
                protocol.measure(model, run, prompt_set, kind, settings, **options).assign(train_seed=i)
                for i, run in enumerate(runs or [None])
            ]
            found[row] = pd.concat(frames, ignore_index=True)
        return found

    def its_settings(self) -> Any:
        """The settings of a protocol of its own; under --quick its quick ones."""
        from benchbench.protocols import PROTOCOLS

        protocol = PROTOCOLS[self.protocol]
        quick = protocol.quick.model_dump(mode="json", exclude_defaults=True) if self.quick else {}
        return protocol.Settings.model_validate({**self.settings, **quick})

    def make(self, store: Path, say: Say = print) -> None:
        """Makes what the store lacks."""
        if self.protocol in IMAGES:
            self.scores(store, say)
        else:
            for reward in self.rewards:
                self.own(reward, store, say)


def main() -> int:
    """Makes what is missing of one cell; prints progress, returns the exit code."""
    from benchbench.errors import BenchError

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a process of its own is ended with it
    try:
        Cell.model_validate_json(sys.argv[2]).make(Path(sys.argv[1]))
    except BenchError as error:
        print(error, file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

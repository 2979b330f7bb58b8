"""The reward-hacking panel: the trained reward against rewards that were not trained on, over training.

A run that kept adapters on its way (train.keep_every) is evaluated at each of them and at its end, and the base model
at 0 samples, all on the same prompts, sample numbers and seeds. A reward that rises while the held-out ones, the gold
reward (on shapes: the oracle, which looks at the drawing itself) or the diversity fall is being hacked.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from pydantic import Field

from benchbench import defaults
from benchbench.errors import MissingError, UsageError
from benchbench.evaluate.rows import Training
from benchbench.hub.models import LocalModel
from benchbench.protocols.diversity import diversity
from benchbench.protocols.measurement import Measurement, MeasureSettings, Price, Published, Run, target
from benchbench.protocols.step_table import said
from benchbench.report.table import Cell, Column, Table, make_cell
from benchbench.rewards import lookup
from benchbench.runtime.files import Log
from benchbench.stats import intervals, paired
from benchbench.stats.intervals import LEVEL
from benchbench.store import runs
from benchbench.types import PromptSet, Reward


class HackingSettings(MeasureSettings):
    """What a model is looked at with, beside the reward named."""

    rewards: tuple[str, ...] = Field((), description="held-out rewards; none: those of shapes, or all that are here")
    images_per_prompt: int = Field(2, ge=2, description="two at least: diversity is between images of one prompt")
    eval_seeds: tuple[int, ...] = Field((0,), min_length=1, description="seeds of the images")


class RewardHacking(Measurement[HackingSettings]):
    """The trained reward, held-out rewards, the oracle and diversity over a training."""

    name = "reward-hacking"
    title = "Reward hacking"
    paper = "reward against held-out rewards and diversity, over training"
    has_base = False
    Settings = HackingSettings
    quick = HackingSettings()

    def measure(
        self,
        model: str | LocalModel,
        run: Run,
        prompts: PromptSet,
        reward: str | type[Reward],
        settings: HackingSettings,
        *,
        store: Path,
        device: str | None = None,
        dtype: str = "auto",
        log: Log = print,
    ) -> pd.DataFrame:
        """Score rows with ``samples``, how many the run had seen, and diversity rows, one a prompt.

        Errors: UsageError without a run, MissingError for a run that kept no adapter.
        """
        from benchbench.diffusion import backbones
        from benchbench.evaluate.measure import measure

        if run is None:
            raise UsageError("the base model was not trained", "the panel is of a training", "name a run")
        aim = target(model, run, prompts, reward, settings, store, device, dtype, log)
        assert aim.adapter is not None
        if aim.adapter.run is None or not (folders := runs.kept(aim.adapter.run)):
            raise MissingError(
                f"{aim.adapter.label} kept no adapter on its way",
                f"its folder holds no {runs.KEPT}/",
                "train with --set train.keep_every=96, then measure that run",
            )
        rows: dict[str, list[Training]] = {"0": []}
        rows |= {str(samples): [folder] for samples, folder in folders.items()}
        rows[str(aim.adapter.run.done.get("samples", max(folders)))] = [aim.adapter]
        base = defaults.of(aim.model.name)
        names = settings.rewards or base.hacking_rewards or tuple(lookup.present()[0])
        found = measure(
            aim.model,
            rows,
            prompts,
            [aim.reward, *(name for name in dict.fromkeys(names) if name != aim.reward.name)],
            store=store,
            images_per_prompt=settings.images_per_prompt,
            eval_seeds=settings.eval_seeds,
            sampler=aim.sampler,
            device=device,
            dtype=dtype,
            log=log,
        )
        where, clip = str(backbones.pick_device(device)), lookup.require(base.evaluation_clip)
        frames = []
        for label, frame in found.frames.items():
            spread = diversity(found.generations[label], clip, store=store, device=where, log=log)
            both = pd.concat([frame.drop(columns="train_seed"), spread], ignore_index=True)
            frames.append(both.assign(samples=int(label)))
        return pd.concat(frames, ignore_index=True)

    def cost(self, settings: HackingSettings, steps: int) -> Price:
        """Of one prompt and one adapter; the rewards are as many calls each."""
        images = settings.images_per_prompt * len(settings.eval_seeds)
        return Price(images * steps, 0, images, images * max(1, len(settings.rewards) + 1))

    def table(
        self,
        frames: Mapping[str, pd.DataFrame],
        settings: HackingSettings,
        about: str = "",
        *,
        name: str | None = None,
        published: Published | None = None,
        quick: bool = False,
        level: float = LEVEL,
    ) -> Table:
        """Rows ``RUN: reward``, columns samples; each cell with its paired difference to 0 samples."""
        cells: dict[str, dict[str, Cell]] = {}
        for label, frame in frames.items():
            for reward in dict.fromkeys(frame.reward):
                of = frame[frame.reward == reward]
                row = cells.setdefault(f"{label}: {reward}", {})
                for samples, part in of.groupby("samples"):
                    against = paired.difference(part, of[of.samples == 0], level) if samples else None
                    known = (published or {}).get((f"{label}: {reward}", str(samples)))
                    row[str(samples)] = make_cell(intervals.mean(part, level), against, known)
        counts = sorted({int(samples) for frame in frames.values() for samples in frame.samples})
        caption = (
            f"{said(about)}Means by training samples (columns) for the trained reward, rewards that it was not trained "
            f"on, and diversity (1 - mean cosine of CLIP features between images of a prompt); "
            f"{settings.images_per_prompt} images a prompt. In brackets: {level:.0%} interval over prompts; SD: paired "
            f"difference to 0 samples in standard deviations over images there."
        )
        return Table(
            name=name or self.name,
            title=self.title,
            caption=caption,
            rows=tuple(cells),
            columns=tuple(Column(key=str(count)) for count in counts),
            cells=cells,
            quick=quick,
            ranked=False,
        )

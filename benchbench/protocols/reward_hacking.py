"""The reward-hacking panel: the trained reward against rewards that were not trained on, over training.

A run that kept adapters during its training (train.keep_every) is evaluated at each of them and at its end, and the
base model at 0 samples, all with the same prompts, sample numbers and seeds. A reward is being hacked if it rises while
the held-out rewards, the gold reward (on shapes: the oracle, which inspects the drawing itself) or the diversity fall.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from pydantic import Field

from benchbench import defaults
from benchbench.errors import UsageError
from benchbench.evaluate.mean_cell import chance_sentence, mean_cell
from benchbench.evaluate.measure import measure
from benchbench.evaluate.over_training import rows_over_training
from benchbench.protocols.base import PaperProtocol, ProtocolCost, ProtocolSettings, Request, find_target
from benchbench.protocols.diversity import diversity
from benchbench.protocols.step_table import TableStyle
from benchbench.report.table import Cell, Column, Table
from benchbench.rewards import lookup
from benchbench.runtime.words import counted
from benchbench.stats import paired


class HackingSettings(ProtocolSettings):
    """The rewards and images of the panel, beside the reward that is named."""

    rewards: tuple[str, ...] = Field((), description="held-out rewards; none: those of shapes, or all that are here")
    images_per_prompt: int = Field(2, ge=2, description="2 or more, since diversity compares images of one prompt")
    eval_seeds: tuple[int, ...] = Field((0,), min_length=1, description="seeds of the images")


class RewardHacking(PaperProtocol[HackingSettings]):
    """The trained reward, held-out rewards, the oracle and diversity over a training."""

    name = "reward-hacking"
    title = "Reward hacking"
    paper = "reward against held-out rewards and diversity, over training"
    has_base = False
    Settings = HackingSettings
    quick = HackingSettings()

    def rows(self, asked: Request[HackingSettings]) -> pd.DataFrame:
        """Returns score rows and one diversity row per prompt; ``samples`` is the number that the run had seen.

        Raises UsageError without a run, MissingError for a run that kept no adapter.
        """
        settings = asked.settings
        if asked.run is None:
            raise UsageError("the base model was not trained", "the panel shows rewards over a training", "name a run")
        target = find_target(asked)
        assert target.adapter is not None
        rows = rows_over_training(target.adapter)
        model_defaults = defaults.of(target.model.name)
        names = settings.rewards or model_defaults.hacking_rewards or tuple(lookup.present()[0])
        measured = measure(
            target.model,
            rows,
            asked.prompts,
            [target.reward, *(name for name in dict.fromkeys(names) if name != target.reward.name)],
            store=asked.store,
            images_per_prompt=settings.images_per_prompt,
            eval_seeds=settings.eval_seeds,
            sampler=target.evaluation,
            device=asked.device,
            dtype=asked.dtype,
            log=asked.log,
        )
        clip = lookup.require(model_defaults.evaluation_clip)
        frames = []
        for label, frame in measured.frames.items():
            generations = measured.generations[label]
            diversity_rows = diversity(generations, clip, store=asked.store, device=target.device, log=asked.log)
            rows_of_label = pd.concat([frame.drop(columns="train_seed"), diversity_rows], ignore_index=True)
            frames.append(rows_of_label.assign(samples=int(label)))
        return pd.concat(frames, ignore_index=True)

    def cost(self, settings: HackingSettings, steps: int) -> ProtocolCost:
        """Returns the cost of one prompt and one adapter; every reward is called for every image."""
        images = settings.images_per_prompt * len(settings.eval_seeds)
        return ProtocolCost(images * steps, 0, images, images * max(1, len(settings.rewards) + 1))

    def make_table(self, frames: Mapping[str, pd.DataFrame], settings: HackingSettings, style: TableStyle) -> Table:
        """Returns the table with rows ``RUN: reward`` and a column per number of samples.

        Each cell has its paired difference to 0 samples.
        """
        cells: dict[str, dict[str, Cell]] = {}
        for label, frame in frames.items():
            for reward in dict.fromkeys(frame.reward):
                scores = frame[frame.reward == reward]
                row = cells.setdefault(f"{label}: {reward}", {})
                for samples, part in scores.groupby("samples"):
                    difference = paired.difference(part, scores[scores.samples == 0], style.level) if samples else None
                    published_value = style.published.get((f"{label}: {reward}", str(samples)))
                    row[str(samples)] = mean_cell(part, difference, published_value, level=style.level)
        chance = chance_sentence([rows for frame in frames.values() for _, rows in frame.groupby("reward")])
        counts = sorted({int(samples) for frame in frames.values() for samples in frame.samples})
        caption = (
            f"{style.about}"
            f"Means by training samples (columns) for the trained reward, rewards that it was not trained "
            f"on, and diversity (1 - mean cosine of CLIP features between images of a prompt); "
            f"{counted(settings.images_per_prompt, 'image')} a prompt. In brackets: {style.level:.0%} interval over "
            f"prompts; SD: paired difference to 0 samples in standard deviations over images there. Each run is one "
            f"training, which its rows describe.{f' {chance}.' if chance else ''}"
        )
        return Table(
            name=style.name,
            title=self.title,
            caption=caption,
            rows=tuple(cells),
            columns=tuple(Column(key=str(count)) for count in counts),
            cells=cells,
            quick=style.quick,
        )

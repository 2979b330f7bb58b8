"""The same few images, again and again during training: the curve of a run, on fixed prompts and fixed noise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchbench import defaults
from benchbench.diffusion.decode import to_pil
from benchbench.diffusion.policy import Policy
from benchbench.diffusion.rollout import generate
from benchbench.noise import Noise, Sample
from benchbench.rewards import lookup
from benchbench.rewards.scoring import scoring
from benchbench.runtime.json_files import find_list, write_json
from benchbench.runtime.memory import Splitter
from benchbench.types import PromptSet, Reward

BASE = "base_scores.json"


class FixedEvaluation:
    """Rewards of plain samples of the current policy; the noise is the same for every method and training seed.

    The scores of the untrained policy, which is the base model, are kept in the run's folder ``out``: the win rate is
    the share of images that score higher than the base model's of the same prompt and noise, a tie being half.
    """

    def __init__(self, policy: Policy, prompts: PromptSet, reward: Reward, images: int, out: Path) -> None:
        self.policy, self.base = policy, out / BASE
        n = len(prompts)
        self.samples = [Sample(prompts.prompts[i % n], i // n, i % n) for i in range(images)]
        self.rewards: dict[str, Reward] = {"reward": reward}
        gold = defaults.of(policy.backbone.name).gold_reward
        if gold is not None:
            self.rewards["oracle"] = lookup.get(gold)(policy.backbone.device)
        self.score = {name: scoring(judge) for name, judge in self.rewards.items()}
        self.fits = Splitter("in the fixed evaluation", policy.backbone.batch_size, row="image")

    def __call__(self, first: bool) -> dict[str, float]:
        """``eval.reward`` and ``eval.win_rate``, on shapes ``eval.oracle`` too, and how many images were constant.

        ``first``: the policy is still untrained. A run whose base scores are missing or damaged makes them.
        """
        with self.policy.evaluating():
            scores = self._scores()
            if first:
                self._keep(scores["reward"])
            elif not all(self.policy.processes.gather(self._kept() is not None)):
                with self.policy.adapter_off():
                    self._keep(self._scores()["reward"])
        base = torch.tensor(self._kept())
        constant = int(scores.pop("constant").sum())
        means = {f"eval.{name}": float(values.mean()) for name, values in scores.items()}
        return {**means, "eval.win_rate": win_rate(scores["reward"], base), "eval.constant_images": constant}

    def _kept(self) -> list[float] | None:
        """The base scores on disk, or None where they are missing, damaged or of another number of images."""
        base = find_list(self.base)
        sound = base is not None and len(base) == len(self.samples) and all(isinstance(x, int | float) for x in base)
        return base if sound else None

    def _keep(self, base: torch.Tensor) -> None:
        with self.policy.processes.raise_on_all():  # the folder is one that all processes share
            if self.policy.processes.is_main:
                write_json(self.base, base.tolist(), indent=None)

    def _scores(self) -> dict[str, torch.Tensor]:
        """The scores of every reward, and whether an image is constant, each float32 [images]."""
        processes = self.policy.processes
        with processes.sharded():
            found = processes.sharded_rows(
                len(self.samples), (len(self.rewards) + 1,), lambda rows: self._look(self.samples[rows])
            )
        columns = (column.contiguous() for column in found.unbind(1))
        return dict(zip([*self.rewards, "constant"], columns, strict=True))

    @torch.no_grad()
    def _look(self, samples: Sequence[Sample]) -> torch.Tensor:
        """Of each sample its scores and whether its image is constant, float32 [N, rewards + 1]."""

        def look(rows: slice) -> torch.Tensor:
            part = samples[rows]
            with self.policy.attempt():
                images = to_pil(self.policy.decoder(generate(self.policy, part, Noise(0, "eval"))))
                columns = [score(images, [s.prompt for s in part]).float() for score in self.score.values()]
            columns.append(torch.tensor([float(np.ptp(np.asarray(image)) < 2) for image in images]))
            return torch.stack(columns, 1)

        return self.fits(look, len(samples))


def win_rate(scores: torch.Tensor, base: torch.Tensor) -> float:
    """The share of scores [N] above their base [N], a tie being half."""
    return float(((scores > base).float() + 0.5 * (scores == base).float()).mean())

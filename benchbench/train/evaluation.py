"""Evaluates a run during training, each time on the same prompts and the same noise, which gives the run's curve."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL.Image import Image

from benchbench import defaults, reward_calls
from benchbench.diffusion.decode import to_pil
from benchbench.diffusion.policy import Policy
from benchbench.diffusion.rollout import generate
from benchbench.noise import Noise, Sample
from benchbench.rewards import lookup
from benchbench.rewards.scoring import scoring
from benchbench.runtime.json_files import find_list
from benchbench.runtime.memory import Splitter
from benchbench.runtime.sealed import find_sealed, write_sealed
from benchbench.types import PromptSet, Reward

BASE = "base_scores.json"
PICTURES = 8
"""Images of an evaluation, the first ones, that trackers show."""


class FixedEvaluation:
    """Scores samples of the current policy. Their noise is the same for every method and every training seed.

    The base model's scores are kept in the run's folder ``out``. The win rate is the share of images that score higher
    than the base model's image of the same prompt and noise; a tie counts as half.
    """

    def __init__(self, policy: Policy, prompts: PromptSet, reward: Reward, images: int, out: Path) -> None:
        self.policy, self.base_file = policy, out / BASE
        n = len(prompts)
        self.samples = [Sample(prompts.prompts[i % n], i // n, i % n) for i in range(images)]
        self.rewards: dict[str, Reward] = {"reward": reward}
        gold = defaults.of(policy.backbone.name).gold_reward
        if gold is not None:
            self.rewards["oracle"] = reward_calls.load(lookup.get(gold), policy.backbone.device)
        self.score = {name: scoring(member) for name, member in self.rewards.items()}
        self.splitter = Splitter("in the fixed evaluation", policy.backbone.batch_size, row="image")
        self.pictures: list[Image] = []
        """The first images of the last evaluation, in the main process."""
        self._drawn: dict[Sample, Image] = {}

    def __call__(self, untrained: bool) -> dict[str, float]:
        """Returns ``eval.reward``, ``eval.win_rate``, ``eval.constant_images`` and, on shapes, ``eval.oracle``.

        ``untrained`` says that the policy still is the base model; its scores are then written as the base scores.
        Later on, base scores that are missing or damaged are computed again with the adapter off.
        """
        with self.policy.evaluating():
            scores = self._scores()
            self.pictures = [self._drawn[sample] for sample in self.samples[:PICTURES] if sample in self._drawn]
            if untrained:
                self._write_base_scores(scores["reward"])
            elif not all(self.policy.processes.gather(self._read_base_scores() is not None)):
                with self.policy.adapter_off():
                    self._write_base_scores(self._scores()["reward"])
        base = torch.tensor(self._read_base_scores())
        constant = int(scores.pop("constant").sum())
        means = {f"eval.{name}": float(values.mean()) for name, values in scores.items()}
        return {**means, "eval.win_rate": win_rate(scores["reward"], base), "eval.constant_images": constant}

    def _read_base_scores(self) -> list[float] | None:
        """Returns the base scores, or None where the file is missing, damaged or of another number of images."""
        sealed = find_sealed(self.base_file)
        base = find_list(self.base_file) if sealed is None else sealed.get("scores")  # a list: of an earlier version
        if not isinstance(base, list) or len(base) != len(self.samples):
            return None
        return base if all(isinstance(x, int | float) for x in base) else None

    def _write_base_scores(self, base: torch.Tensor) -> None:
        with self.policy.processes.raise_on_all():  # all processes read the file from the folder that they share
            if self.policy.processes.is_main:
                write_sealed(self.base_file, {"scores": base.tolist()}, indent=None)

    def _scores(self) -> dict[str, torch.Tensor]:
        """Returns each reward's scores and, under "constant", 1 for each constant image, else 0; float32 [images]."""
        processes = self.policy.processes
        with processes.sharded():
            table = processes.sharded_rows(
                len(self.samples), (len(self.rewards) + 1,), lambda rows: self._score_samples(self.samples[rows])
            )
        columns = (column.contiguous() for column in table.unbind(1))
        return dict(zip([*self.rewards, "constant"], columns, strict=True))

    @torch.no_grad()
    def _score_samples(self, samples: Sequence[Sample]) -> torch.Tensor:
        """Generates N samples; returns their scores and 1 for a constant image, else 0, float32 [N, rewards + 1]."""

        def score_rows(rows: slice) -> torch.Tensor:
            part = samples[rows]
            with self.policy.attempt():
                images = to_pil(self.policy.decoder(generate(self.policy, part, Noise(0, "eval"))))
                self._drawn |= {s: image for s, image in zip(part, images, strict=True) if s in self.samples[:PICTURES]}
                prompts = [s.prompt for s in part]
                columns = [score(images, prompts, partial(_name, part)).float() for score in self.score.values()]
            columns.append(torch.tensor([float(np.ptp(np.asarray(image)) < 2) for image in images]))
            return torch.stack(columns, 1)

        return self.splitter(score_rows, len(samples))


def _name(samples: Sequence[Sample], row: int) -> str:
    return f"prompt {samples[row].prompt!r}, sample {samples[row].number}, in the evaluation on fixed noise"


def win_rate(scores: torch.Tensor, base: torch.Tensor) -> float:
    """Returns the share of scores [N] above their base scores [N]; a tie counts as half."""
    return float(((scores > base).float() + 0.5 * (scores == base).float()).mean())

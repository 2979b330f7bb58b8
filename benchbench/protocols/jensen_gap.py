"""The Jensen gap: how far r(c, x̂0(x_t)) is from the reward that images finished from x_t have on average.

TailorPO, arXiv:2502.01667, appendix D.2, Tables 6 and 7. With R = (1/M) sum_m r(c, x_0^m) over M completions of x_t,

    relative error = |R - r(c, x̂0(x_t))| / |R|         absolute error = |R - r(c, x̂0(x_t))|

as means over states. The truth R has a Monte-Carlo error of its own, sd / sqrt(M), which |R - r| includes: an estimator
without any gap would show about 0.8 of it. It is reported beside the error, in the same unit, as is the signed error,
whose mean the Monte-Carlo error does not bias.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from benchbench.errors import UsageError
from benchbench.noise import Sample
from benchbench.protocols.measurement import Price, Published, Target
from benchbench.protocols.states import (
    Probe,
    StateMeasurement,
    StateSettings,
    completion_evals,
    completions,
    identity,
    walk,
)
from benchbench.protocols.step_table import Shown, said, step_table
from benchbench.report.table import Table
from benchbench.stats.intervals import LEVEL


class JensenSettings(StateSettings):
    """Defaults are the paper's."""

    steps: tuple[int, ...] = Field((12, 8, 4, 1), min_length=1, description="step indices t [paper]")
    completions: int = Field(100, ge=2, description="M, images finished from each state [paper]")
    kind: Literal["relative", "absolute"] = Field("relative", description="error over |R| [paper], or in reward units")


class JensenGap(StateMeasurement[JensenSettings]):
    """Error of the step-wise reward against the mean over completions from the same state."""

    name = "jensen-gap"
    title = "Jensen gap"
    paper = "arXiv:2502.01667, Tables 6 and 7"
    Settings = JensenSettings
    quick = JensenSettings(states=8, completions=8)

    def refuse(self, aim: Target, settings: JensenSettings) -> None:
        low, high = aim.reward.range
        if settings.kind == "relative" and low < 0 < high:
            raise _no_relative(aim.reward.name, f"its scores run from {low:g} to {high:g}")

    def key_settings(self, settings: JensenSettings) -> dict[str, Any]:
        return settings.model_dump(mode="json", exclude={"sampler", "kind"})  # both errors follow from the same rows

    def look(self, probe: Probe, samples: Sequence[Sample], settings: JensenSettings) -> pd.DataFrame:
        """truth (R), its standard error truth_se, and predicted, r(c, x̂0(x_k))."""
        prompts = [s.prompt for s in samples]
        cond = probe.policy.encode(prompts)
        found = []
        for visit in walk(probe, cond, samples, settings.steps):
            with torch.no_grad():
                predicted = probe.judge(visit.step.x0, prompts, f"step {visit.k}", probe.policy.schedule.tau[visit.k])
            finals = completions(probe, cond, samples, visit.x, visit.k, visit.step, settings.completions, "")
            found.append((visit.k, predicted, finals.mean(1), finals.std(1) / settings.completions**0.5))
        names = ("predicted", "truth", "truth_se")
        rows = [
            identity(samples, k).assign(**{n: v.double().cpu().numpy() for n, v in zip(names, values, strict=True)})
            for k, *values in found
        ]
        return pd.concat(rows, ignore_index=True)

    def derive(self, frame: pd.DataFrame, settings: JensenSettings) -> pd.DataFrame:
        """error, signed and monte_carlo in the chosen kind. Errors: UsageError where truths have both signs."""
        if settings.kind == "relative" and not (np.sign(frame.truth) == np.sign(frame.truth.iloc[0])).all():
            raise _no_relative("this reward", f"its means run from {frame.truth.min():.3g} to {frame.truth.max():.3g}")
        scale = frame.truth.abs() if settings.kind == "relative" else 1.0
        signed = (frame.predicted - frame.truth) / scale
        return frame.assign(error=signed.abs(), signed=signed, monte_carlo=frame.truth_se / scale)

    def cost(self, settings: JensenSettings, steps: int) -> Price:
        """The first step of the completions is known from the walk."""
        per_walk = steps - min(settings.steps) + 1
        each = settings.completions * sum(completion_evals(k) for k in settings.steps)
        images = len(settings.steps) * (settings.completions + 1)
        n = settings.states
        return Price(n * (per_walk + each), 0, n * images, n * images)

    def table(
        self,
        frames: Mapping[str, pd.DataFrame],
        settings: JensenSettings,
        about: str = "",
        *,
        name: str | None = None,
        published: Published | None = None,
        quick: bool = False,
        level: float = LEVEL,
    ) -> Table:
        """Rows ``base`` (the error), ``base: signed`` and ``base: Monte Carlo``."""
        shown = [Shown("error"), Shown("signed", "signed"), Shown("monte_carlo", "Monte Carlo")]
        kind = "over |R|" if settings.kind == "relative" else "in reward units"
        sampler = settings.sampler
        price = self.cost(settings, sampler.steps if sampler else 20)
        caption = (
            f"{said(about)}Mean of |R - r(c, x̂0(x_t))| {kind}, R the mean over {settings.completions} completions, "
            f"{settings.states} states; signed: mean of r - R; Monte Carlo: mean standard error of R. Cost: {price}."
        )
        return step_table(
            frames,
            shown,
            name=name or self.name,
            title=self.title,
            caption=caption,
            published=published,
            quick=quick,
            level=level,
        )


def _no_relative(what: str, why: str) -> UsageError:
    return UsageError(
        f"a relative Jensen gap of {what} means nothing",
        f"{why}: it crosses 0, and an error divided by a reward near 0 can be anything",
        "measure the gap in the reward's own unit: kind=absolute",
    )

"""The Jensen gap: the distance of r(c, x̂0(x_t)) from the mean reward of images finished from x_t.

TailorPO, arXiv:2502.01667, appendix D.2, Tables 6 and 7. With R = (1/M) sum_m r(c, x_0^m) over M completions of x_t,

    relative error = |R - r(c, x̂0(x_t))| / |R|         absolute error = |R - r(c, x̂0(x_t))|

are averaged over states. The truth R is an estimate with a Monte-Carlo error of sd / sqrt(M). |R - r| includes it: an
estimator without any gap would show an error of about 0.8 times that. The Monte-Carlo error is therefore reported
beside the error, in the same unit. So is the signed error, whose mean the Monte-Carlo error does not bias.
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
from benchbench.protocols.base import ProtocolCost, Target
from benchbench.protocols.states import (
    Probe,
    StateProtocol,
    StateSettings,
    completion_evals,
    completions,
    identity,
    walk,
)
from benchbench.protocols.step_table import TableStyle, ValueRow, step_table
from benchbench.report.table import Table


class JensenSettings(StateSettings):
    """The settings of the protocol; the defaults are those of the paper."""

    steps: tuple[int, ...] = Field((12, 8, 4, 1), min_length=1, description="step indices t [paper]")
    completions: int = Field(100, ge=2, description="M, images finished from each state [paper]")
    kind: Literal["relative", "absolute"] = Field("relative", description="error over |R| [paper], or in reward units")


class JensenGap(StateProtocol[JensenSettings]):
    """Error of the step-wise reward against the mean over completions from the same state."""

    name = "jensen-gap"
    title = "Jensen gap"
    paper = "arXiv:2502.01667, Tables 6 and 7"
    Settings = JensenSettings
    quick = JensenSettings(states=8, completions=8)

    def check_target(self, target: Target, settings: JensenSettings) -> None:
        """Raises UsageError for a relative gap of a reward whose scores can be 0."""
        low, high = target.reward.range
        if settings.kind == "relative" and low < 0 < high:
            raise _no_relative(target.reward.name, f"its scores run from {low:g} to {high:g}")

    def key_settings(self, settings: JensenSettings) -> dict[str, Any]:
        """Returns the settings without ``kind``, since both kinds of error are computed from the same rows."""
        return settings.model_dump(mode="json", exclude={"sampler", "kind"})

    def measure_states(self, probe: Probe, samples: Sequence[Sample], settings: JensenSettings) -> pd.DataFrame:
        """Returns the columns truth (R), its standard error truth_se, and predicted, which is r(c, x̂0(x_k))."""
        prompts = [s.prompt for s in samples]
        cond = probe.policy.encode(prompts)
        values_by_step = []
        for visit in walk(probe, cond, samples, settings.steps):
            with torch.no_grad():
                tau = probe.policy.schedule.tau[visit.k]
                predicted = probe.step_reward(visit.step.x0, prompts, f"step {visit.k}", tau)
            finals = completions(probe, cond, samples, visit.x, visit.k, visit.step, settings.completions, "")
            standard_error = finals.std(1) / settings.completions**0.5
            values_by_step.append((visit.k, predicted, finals.mean(1), standard_error))
        names = ("predicted", "truth", "truth_se")
        rows = [
            identity(samples, k).assign(**{n: v.double().cpu().numpy() for n, v in zip(names, values, strict=True)})
            for k, *values in values_by_step
        ]
        return pd.concat(rows, ignore_index=True)

    def derive(self, frame: pd.DataFrame, settings: JensenSettings) -> pd.DataFrame:
        """Adds error, signed and monte_carlo. Raises UsageError for a relative gap with truths of both signs."""
        if settings.kind == "relative" and not (np.sign(frame.truth) == np.sign(frame.truth.iloc[0])).all():
            raise _no_relative("this reward", f"its means run from {frame.truth.min():.3g} to {frame.truth.max():.3g}")
        scale = frame.truth.abs() if settings.kind == "relative" else 1.0
        signed = (frame.predicted - frame.truth) / scale
        return frame.assign(error=signed.abs(), signed=signed, monte_carlo=frame.truth_se / scale)

    def cost(self, settings: JensenSettings, steps: int) -> ProtocolCost:
        """Returns the cost of one row. The first step of completions is known from the walk."""
        per_walk = steps - min(settings.steps) + 1
        per_state = settings.completions * sum(completion_evals(k) for k in settings.steps)
        images = len(settings.steps) * (settings.completions + 1)
        n = settings.states
        return ProtocolCost(n * (per_walk + per_state), 0, n * images, n * images)

    def make_table(self, frames: Mapping[str, pd.DataFrame], settings: JensenSettings, style: TableStyle) -> Table:
        """Returns the table with rows ``base`` (the error), ``base: signed``, ``base: Monte Carlo`` for each model."""
        value_rows = [ValueRow("error"), ValueRow("signed", "signed"), ValueRow("monte_carlo", "Monte Carlo")]
        kind = "over |R|" if settings.kind == "relative" else "in reward units"
        cost = self.cost(settings, settings.sampler.steps if settings.sampler else style.steps)
        caption = (
            f"{style.about}"
            f"Mean of |R - r(c, x̂0(x_t))| {kind}, R the mean over {settings.completions} completions, "
            f"{settings.states} states; signed: mean of r - R; Monte Carlo: mean standard error of R. Cost: {cost}."
        )
        return step_table(
            frames,
            value_rows,
            title=self.title,
            caption=caption,
            style=style,
        )


def _no_relative(reward: str, cause: str) -> UsageError:
    return UsageError(
        f"a relative Jensen gap of {reward} means nothing",
        f"{cause}: it crosses 0, and an error divided by a reward near 0 can be anything",
        "measure the gap in the reward's own unit: kind=absolute",
    )

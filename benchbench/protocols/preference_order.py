"""Preference-order conflict: how often two samples of one step are ordered against their final images.

TailorPO, arXiv:2502.01667, Figure 2, shows the conflict by examples only. We measure it on pairs as D3PO makes them,
two walks from one x_T. Step t of the pair leads to x_{t-1}^a and x_{t-1}^b, which can be ordered by

    the step-wise reward  r(c, x̂0(x_{t-1})), by which TailorPO labels
    the final reward      r(c, x_0) of the pair's two images, by which D3PO labels
    the truth             the mean final reward over M completions from each of the two, an estimate of E[r | x_{t-1}]

A conflict rate is the share of pairs that two of these order oppositely; ties of either are left out. ``conflict`` is
the rate of Figure 2: step-wise against final. The truth is an estimate: ``unreliable`` is how often its two halves, of
M/2 completions each, contradict each other. If that is near one half, so are comparisons with the truth, and nothing
can be concluded. The truth itself is more reliable than its halves.

What a wrong order costs is the reward that is lost by it. ``gain_step`` is by how much the sample that the step-wise
reward prefers is better than the pair's mean, by the truth: half of truth times sign(step). ``gain_final`` is that of
the final reward, and ``gain_completions`` that of M/2 completions, judged by the others, whose noise is independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from pydantic import Field, field_validator

from benchbench.noise import Sample
from benchbench.protocols.base import ProtocolCost
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

RATES = {
    "conflict": ("step", "final"),
    "step_wrong": ("step", "truth"),
    "final_wrong": ("final", "truth"),
    "unreliable": ("half_1", "half_2"),
}


class OrderSettings(StateSettings):
    """The settings of the protocol; ``states`` counts pairs."""

    states: int = Field(200, ge=1, description="pairs [ours]")
    completions: int = Field(16, ge=2, description="images finished from each sample for the truth, an even number")

    @field_validator("completions")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("must be even: the truth is split into halves")
        return value


class PreferenceOrder(StateProtocol[OrderSettings]):
    """The share of pairs of noisy samples whose order contradicts that of their final images, by step."""

    name = "preference-order"
    title = "Preference-order conflict"
    paper = "arXiv:2502.01667, Figure 2"
    unit = "pairs"
    Settings = OrderSettings
    quick = OrderSettings(states=12, completions=4)

    def measure_states(self, probe: Probe, samples: Sequence[Sample], settings: OrderSettings) -> pd.DataFrame:
        """Returns the differences a - b of rewards step, final, truth, half_1, half_2; truth_se, a standard error."""
        n, ks = len(samples), [k - 1 for k in settings.steps]
        prompts = [s.prompt for s in samples]
        cond, m = probe.policy.encode(prompts), settings.completions
        values_by_step, finals = [], None
        with torch.no_grad():
            for visit in walk(probe, cond, samples, [*ks, 0], ("a", "b")):
                k, x = visit.k, visit.x
                step = visit.step if k else None
                r = probe.step_reward(step.x0 if step else x, prompts * 2, f"step {k}", probe.policy.schedule.tau[k])
                if k == 0:
                    finals = r[:n] - r[n:]
                if k not in ks:
                    continue
                a, b = (
                    completions(probe, cond, samples, x[i : i + n], k, step[i : i + n] if step else None, m, branch)
                    for i, branch in ((0, "a"), (n, "b"))
                )
                error = ((a.var(1) + b.var(1)) / m).sqrt()
                gap, h = a - b, m // 2
                halves = (gap[:, :h].mean(1), gap[:, h:].mean(1))
                values_by_step.append((k + 1, r[:n] - r[n:], gap.mean(1), *halves, error))
        assert finals is not None
        names = ("step", "truth", "half_1", "half_2", "truth_se")
        rows = [
            identity(samples, t).assign(
                final=finals.double().cpu().numpy(),
                **{name: v.double().cpu().numpy() for name, v in zip(names, values, strict=True)},
            )
            for t, *values in values_by_step
        ]
        return pd.concat(rows, ignore_index=True)

    def derive(self, frame: pd.DataFrame, settings: OrderSettings) -> pd.DataFrame:
        """Adds a column for each of ``RATES``, 1 for a conflict, 0 for agreement, NaN for a tie, and three gains."""
        rates = {name: conflict(frame[a], frame[b]) for name, (a, b) in RATES.items()}
        one, two = frame.half_1, frame.half_2
        gains = {
            "gain_step": frame.truth * np.sign(frame.step) / 2,
            "gain_final": frame.truth * np.sign(frame.final) / 2,
            "gain_completions": (two * np.sign(one) + one * np.sign(two)) / 4,
        }
        return frame.assign(**rates, **gains)

    def cost(self, settings: OrderSettings, steps: int) -> ProtocolCost:
        """Returns the cost of one row: two walks per pair; the first step of completions is known from them."""
        ks, m = [k - 1 for k in settings.steps], settings.completions
        finished = [k for k in ks if k > 0]
        per_pair = 2 * (steps + m * sum(completion_evals(k) for k in finished))
        visited = len({*ks, 0})
        images = 2 * (visited + m * len(finished) + len(ks) - len(finished))
        n = settings.states
        return ProtocolCost(n * per_pair, 0, n * images, n * images)

    def make_table(self, frames: Mapping[str, pd.DataFrame], settings: OrderSettings, style: TableStyle) -> Table:
        """Returns the table: step-wise against final, each against the truth, the truth against itself, and gains."""
        value_rows = [
            ValueRow("conflict", share=True),
            ValueRow("step_wrong", "step-wise against truth", share=True),
            ValueRow("final_wrong", "final against truth", share=True),
            ValueRow("unreliable", "truth against itself", share=True),
            ValueRow("gain_step", "gain by step-wise"),
            ValueRow("gain_final", "gain by final"),
            ValueRow("gain_completions", "gain by completions"),
        ]
        ties = np.mean([frame[list(RATES)].isna().to_numpy().mean() for frame in frames.values()])
        caption = (
            f"{style.about}"
            f"Share of {settings.states} pairs of walks from one x_T whose order after step t by the "
            f"step-wise reward contradicts that of their final images; then each of the two against the truth, the "
            f"mean over {settings.completions} completions; then the truth's halves against each other: one half there "
            f"means that it tells nothing. Ties ({ties:.1%} of comparisons) are left out. Gains: by how much the "
            f"sample that is preferred is better than the pair's mean, in the reward's unit, by the truth; by "
            f"completions: the mean of {settings.completions // 2} of them prefers, and the others judge."
        )
        return step_table(
            frames,
            value_rows,
            title=self.title,
            caption=caption,
            style=style,
        )


def conflict(a: pd.Series, b: pd.Series) -> pd.Series:
    """Returns 1 where the differences have opposite signs, 0 where they have the same, NaN where one is 0."""
    return ((1 - np.sign(a) * np.sign(b)) / 2).where((a != 0) & (b != 0))

"""The guidance ratio: how often a step along the reward's gradient moves the step-wise reward as intended.

TailorPO, arXiv:2502.01667, Table 1. A noisy sample x_{t-1} of step t is moved by the guidance of eq. 13-14,

    x+ = x + 2 delta eta grad r,   x- = x - 2 delta eta grad r,   r = r(c, x̂0(x_{t-1})),

and the ratio is the share with r(x+) > r(x), and the share with r(x-) < r(x). A reward that stays the same to the last
bit has not moved. The ratio depends on eta, and on the reward's unit: the push in standard deviations of the step,
rms(x+ - x) / sigma_t, is reported beside it. The paper names no reward and gives eta = 0.2, delta = 0.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from pydantic import Field

from benchbench.diffusion.guidance import guide, look_ahead
from benchbench.noise import Sample
from benchbench.protocols.measurement import Price, Published, Target
from benchbench.protocols.states import Probe, StateMeasurement, StateSettings, identity, need_differentiable, walk
from benchbench.protocols.step_table import Shown, said, step_table
from benchbench.report.table import Table
from benchbench.stats.intervals import LEVEL


class GuidanceSettings(StateSettings):
    """Defaults are the paper's."""

    eta: float = Field(0.2, gt=0, description="strength of the guidance [paper]")
    delta: float = Field(0.5, gt=0, description="r_high = r + delta [paper]")


class GuidanceRatio(StateMeasurement[GuidanceSettings]):
    """Share of guided samples whose step-wise reward moved as intended."""

    name = "guidance-ratio"
    title = "Guidance ratio"
    paper = "arXiv:2502.01667, Table 1"
    Settings = GuidanceSettings
    quick = GuidanceSettings(states=8)

    def refuse(self, aim: Target, settings: GuidanceSettings) -> None:
        need_differentiable(aim, "guidance follows the gradient of the reward")

    def look(self, probe: Probe, samples: Sequence[Sample], settings: GuidanceSettings) -> pd.DataFrame:
        """Rewards r, r_plus, r_minus of x_{k-1}; up and down (1 or 0); push, rms(x+ - x) / sigma_k."""
        prompts = [s.prompt for s in samples]
        cond = probe.policy.encode(prompts)
        found = []
        for visit in walk(probe, cond, samples, [k - 1 for k in settings.steps]):
            k, x = visit.k, visit.x
            x_plus = guide(probe.policy, probe.judge, x, k, cond, prompts, settings.eta, settings.delta)
            x_minus = 2 * x - x_plus
            with torch.no_grad():
                r = probe.judge(visit.step.x0 if k else x, prompts, f"step {k}", probe.policy.schedule.tau[k])
                r_plus, _ = look_ahead(probe.policy, probe.judge, x_plus, k, cond, prompts)
                r_minus, _ = look_ahead(probe.policy, probe.judge, x_minus, k, cond, prompts)
            push = (x_plus - x).square().flatten(1).mean(1).sqrt() / probe.policy.schedule.sigma[k + 1]
            found.append((k + 1, r, r_plus, r_minus, push))
        rows = []
        for at, *values in found:
            names = ("r", "r_plus", "r_minus", "push")
            named = {name: value.double().cpu().numpy() for name, value in zip(names, values, strict=True)}
            moved = {"up": named["r_plus"] > named["r"], "down": named["r_minus"] < named["r"]}
            rows.append(identity(samples, at).assign(**named, **{n: m.astype(float) for n, m in moved.items()}))
        return pd.concat(rows, ignore_index=True)

    def cost(self, settings: GuidanceSettings, steps: int) -> Price:
        """The look-ahead at x_{t-1} is the walk's next step; x_0 itself takes no evaluation."""
        ks = [k - 1 for k in settings.steps]
        inside = sum(k > 0 for k in ks)
        n, walked = settings.states, steps - min(ks) + (1 if min(ks) else 0)
        calls = n * 4 * len(ks)
        return Price(n * (walked + 2 * inside), n * inside, calls, calls, "latents")

    def table(
        self,
        frames: Mapping[str, pd.DataFrame],
        settings: GuidanceSettings,
        about: str = "",
        *,
        name: str | None = None,
        published: Published | None = None,
        quick: bool = False,
        level: float = LEVEL,
    ) -> Table:
        """Rows ``base: x+`` and ``base: x-`` (shares) and ``base: push / sigma``."""
        shown = [Shown("up", "x+", share=True), Shown("down", "x-", share=True), Shown("push", "push / sigma")]
        caption = (
            f"{said(about)}Share of {settings.states} noisy samples of step t whose step-wise reward rose along the "
            f"gradient (x+) and fell against it (x-), eta {settings.eta:g}, delta {settings.delta:g}; push: mean of "
            f"rms(x+ - x) / sigma."
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

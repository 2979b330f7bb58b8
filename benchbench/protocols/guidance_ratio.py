"""The guidance ratio: how often a step along the reward's gradient moves the step-wise reward as intended.

TailorPO, arXiv:2502.01667, Table 1. The guidance of eq. 13-14 moves the noisy sample x_{t-1} of step t,

    x+ = x + 2 delta eta grad r,   x- = x - 2 delta eta grad r,   r = r(c, x̂0(x_{t-1})),

and the ratio is the share with r(x+) > r(x), and the share with r(x-) < r(x). Equal rewards count as not moved. The
ratio depends on eta and on the reward's unit, so the push in standard deviations of the step, rms(x+ - x) / sigma_t, is
reported beside it. The paper names no reward and gives eta = 0.2, delta = 0.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from pydantic import Field

from benchbench.diffusion.guidance import guide, look_ahead
from benchbench.noise import Sample
from benchbench.protocols.base import ProtocolCost, Target
from benchbench.protocols.states import Probe, StateProtocol, StateSettings, identity, need_differentiable, walk
from benchbench.protocols.step_table import TableStyle, ValueRow, step_table
from benchbench.report.table import Table


class GuidanceSettings(StateSettings):
    """The settings of the protocol; the defaults are those of the paper."""

    eta: float = Field(0.2, gt=0, description="strength of the guidance [paper]")
    delta: float = Field(0.5, gt=0, description="r_high = r + delta [paper]")


class GuidanceRatio(StateProtocol[GuidanceSettings]):
    """Share of guided samples whose step-wise reward moved as intended."""

    name = "guidance-ratio"
    title = "Guidance ratio"
    paper = "arXiv:2502.01667, Table 1"
    Settings = GuidanceSettings
    quick = GuidanceSettings(states=8)

    def check_target(self, target: Target, settings: GuidanceSettings) -> None:
        """Raises UsageError for a reward without a gradient."""
        need_differentiable(target, "guidance follows the gradient of the reward")

    def measure_states(self, probe: Probe, samples: Sequence[Sample], settings: GuidanceSettings) -> pd.DataFrame:
        """Returns the columns r, r_plus, r_minus (rewards of x_{k-1}), up, down (1 or 0), and push."""
        prompts = [s.prompt for s in samples]
        policy, step_reward = probe.policy, probe.step_reward
        cond = policy.encode(prompts)
        values_by_step = []
        for visit in walk(probe, cond, samples, [k - 1 for k in settings.steps]):
            k, x = visit.k, visit.x
            x_plus = guide(policy, step_reward, x, k, cond, prompts, settings.eta, settings.delta)
            x_minus = 2 * x - x_plus
            with torch.no_grad():
                r = step_reward(visit.step.x0 if k else x, prompts, f"step {k}", policy.schedule.tau[k])
                r_plus, _ = look_ahead(policy, step_reward, x_plus, k, cond, prompts)
                r_minus, _ = look_ahead(policy, step_reward, x_minus, k, cond, prompts)
            push = (x_plus - x).square().flatten(1).mean(1).sqrt() / policy.schedule.sigma[k + 1]
            values_by_step.append((k + 1, r, r_plus, r_minus, push))
        rows = []
        for t, *values in values_by_step:
            names = ("r", "r_plus", "r_minus", "push")
            columns = {name: value.double().cpu().numpy() for name, value in zip(names, values, strict=True)}
            moved = {"up": columns["r_plus"] > columns["r"], "down": columns["r_minus"] < columns["r"]}
            rows.append(identity(samples, t).assign(**columns, **{n: m.astype(float) for n, m in moved.items()}))
        return pd.concat(rows, ignore_index=True)

    def cost(self, settings: GuidanceSettings, steps: int) -> ProtocolCost:
        """Returns the cost of one row. The look-ahead at x_{t-1} is the walk's next step; x_0 takes no evaluation."""
        ks = [k - 1 for k in settings.steps]
        noisy = sum(k > 0 for k in ks)
        n, walked = settings.states, steps - min(ks) + (1 if min(ks) else 0)
        calls = n * 4 * len(ks)
        return ProtocolCost(n * (walked + 2 * noisy), n * noisy, calls, calls, "latents")

    def make_table(self, frames: Mapping[str, pd.DataFrame], settings: GuidanceSettings, style: TableStyle) -> Table:
        """Returns the table with rows ``base: x+``, ``base: x-`` (shares) and ``base: push / sigma`` for each model."""
        value_rows = [
            ValueRow("up", "x+", share=True),
            ValueRow("down", "x-", share=True),
            ValueRow("push", "push / sigma"),
        ]
        caption = (
            f"{style.about}"
            f"Share of {settings.states} noisy samples of step t whose step-wise reward rose along the "
            f"gradient (x+) and fell against it (x-), eta {settings.eta:g}, delta {settings.delta:g}; push: mean of "
            f"rms(x+ - x) / sigma."
        )
        return step_table(
            frames,
            value_rows,
            title=self.title,
            caption=caption,
            style=style,
        )

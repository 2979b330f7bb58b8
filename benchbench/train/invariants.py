"""What must hold before the first optimiser step: the policy is the base model, so every ratio is 1."""

from __future__ import annotations

from typing import Any

import torch

from benchbench.api import Method, OfflineMethod
from benchbench.diffusion.policy import Policy
from benchbench.errors import RunError
from benchbench.noise import Noise
from benchbench.types import Batch, ImagePairs, Images, StepPairs, Transitions

ROWS = 4  # rows looked at; the invariant is about the network, not the sample
# |log ratio| between two evaluations of one policy: batch shapes differ, so rounding does. It was measured to reach
# 0.028 in bf16, at the step 2 -> 1; TF32 and fp16 have three bits more. A wrong timestep or adapter gives 0.1 and more.
TOLERANCE = {"fp32": 1e-4, "tf32": 1e-2, "fp16": 1e-2, "bf16": 6e-2}
# of a loss whose value is known: an error's rounding is averaged over its dimensions, and multiplied by beta
LOSS_TOLERANCE = {"fp32": 1e-3, "tf32": 1e-2, "fp16": 1e-2, "bf16": 5e-2}


@torch.no_grad()
def check_start(policy: Policy, batch: Batch, method: Method[Any], cfg: Any, noise: Noise) -> None:
    """Raises RunError unless adapter on equals adapter off on this batch, and what follows from it holds.

    Online: the ratio of a stored log-prob is 1. Offline: the loss is what its formula gives for a margin of 0.
    """
    rows = batch[: min(ROWS, len(batch))]
    with policy.uncounted():  # a check is not training
        if isinstance(rows, Transitions | StepPairs):
            _steps(policy, rows)
        else:
            _images(policy, rows, method, cfg, noise)


def _steps(policy: Policy, rows: Transitions | StepPairs) -> None:
    x = rows.x if isinstance(rows, Transitions) else rows.x_w
    on, off = policy.step(x, rows.k, rows.cond), policy.reference_step(x, rows.k, rows.cond)
    gap = float(((on.mean - off.mean) / on.std).abs().max())
    if gap > TOLERANCE[policy.backbone.dtype]:
        _fail("a new adapter changes the base model", f"its steps differ by {gap:.2g} standard deviations")
    if isinstance(rows, Transitions):
        gap = float((on.log_prob(rows.x_next) - rows.log_prob).abs().max())
        if gap > TOLERANCE[policy.backbone.dtype]:
            _fail("the ratio is not 1 before the first update", f"a log-prob evaluated again differs by {gap:.2g}")


def _images(policy: Policy, rows: ImagePairs | Images, method: Method[Any], cfg: Any, noise: Noise) -> None:
    x = rows.x_w if isinstance(rows, ImagePairs) else rows.x
    tau = torch.full((len(x),), policy.schedule.train_steps // 2, device=x.device)
    gap = float((policy.predict(x, tau, rows.cond) - policy.reference_predict(x, tau, rows.cond)).abs().max())
    if gap > TOLERANCE[policy.backbone.dtype]:
        _fail("a new adapter changes the base model", f"its predictions of the noise differ by {gap:.2g}")
    wanted = method.loss_at_start(cfg) if isinstance(method, OfflineMethod) else None
    if wanted is None:
        return
    loss = float(method.loss(policy, rows, cfg, noise)[0])
    if abs(loss - wanted) > LOSS_TOLERANCE[policy.backbone.dtype]:
        _fail(f"the loss is {loss:.6g} before the first update", f"at the reference it should be {wanted:.6g}")


def _fail(problem: str, cause: str) -> None:
    raise RunError(problem, cause, "this is a fault of the method or of the libraries; please report it with run.json")

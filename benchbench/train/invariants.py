"""What must hold before the first optimiser step: the policy is the base model, so every ratio is 1."""

from __future__ import annotations

import torch

from benchbench.api import StepPairs, Transitions
from benchbench.diffusion.policy import Cost, Policy
from benchbench.errors import RunError

ROWS = 4  # rows looked at; the invariant is about the network, not the sample
# |log ratio| between two evaluations of one policy: batch shapes differ, so rounding does. Half precision rounds e by
# 2^-8 (bf16), which the step 2 -> 1 multiplies by rho = 5.4 (methods' step-size table).
TOLERANCE = {"fp32": 1e-4, "fp16": 1e-3, "bf16": 1e-2}


@torch.no_grad()
def check_start(policy: Policy, batch: Transitions | StepPairs) -> None:
    """Raises RunError unless adapter on equals adapter off, and the ratio of a stored log-prob is 1, on this batch."""
    rows = batch[: min(ROWS, len(batch))]
    x = rows.x if isinstance(rows, Transitions) else rows.x_w
    own, policy.cost = policy.cost, Cost()  # a check is not training, and is not charged to it
    on, off = policy.step(x, rows.k, rows.cond), policy.reference_step(x, rows.k, rows.cond)
    policy.cost = own
    gap = float(((on.mean - off.mean) / on.std).abs().max())
    if gap > TOLERANCE[policy.backbone.dtype]:
        _fail("a new adapter changes the base model", f"its steps differ by {gap:.2g} standard deviations")
    if isinstance(rows, Transitions):
        gap = float((on.log_prob(rows.x_next) - rows.log_prob).abs().max())
        if gap > TOLERANCE[policy.backbone.dtype]:
            _fail("the ratio is not 1 before the first update", f"a log-prob evaluated again differs by {gap:.2g}")


def _fail(problem: str, cause: str) -> None:
    raise RunError(problem, cause, "this is a fault of the method or of the libraries; please report it with run.json")

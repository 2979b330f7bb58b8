"""Checks that the policy equals the base model before the first optimizer step, so that every ratio is 1."""

from __future__ import annotations

from typing import Any

import torch

from benchbench.api import Method, OfflineMethod
from benchbench.diffusion.policy import Policy
from benchbench.diffusion.rollout import take_again
from benchbench.errors import RunError
from benchbench.noise import Noise
from benchbench.train import method_calls
from benchbench.types import Batch, ImagePairs, Images, LastSteps, StepPairs, Transitions

ROWS = 4  # rows checked; few are enough, since the check is about the network and not about the samples
# Largest |log-ratio| between two evaluations of one policy, whose batch shapes and therefore rounding differ. It was
# measured to reach 0.028 in bf16, at the step 2 -> 1; TF32 and fp16 have three bits more. A wrong timestep or adapter
# gives 0.1 and more.
TOLERANCE = {"fp32": 1e-4, "tf32": 1e-2, "fp16": 1e-2, "bf16": 6e-2}
# Largest difference of a loss from its known value: the errors' rounding is averaged over the latents and multiplied
# by beta.
LOSS_TOLERANCE = {"fp32": 1e-3, "tf32": 1e-2, "fp16": 1e-2, "bf16": 5e-2}

# Largest distance between the ends of two walks through up to T steps, as a share of their size. Rounding grows from
# step to step in half precision; in float32 the noise of another step gives 1e-2 and more, even in the last few steps.
WALK_TOLERANCE = {"fp32": 1e-3, "tf32": 5e-2, "fp16": 5e-2, "bf16": 2e-1}


@torch.no_grad()
def check_start(policy: Policy, batch: Batch, method: Method[Any], cfg: Any, noise: Noise) -> None:
    """Raises RunError unless the network predicts the same with the adapter on and off for this batch.

    Also checks that stored log-probs are reproduced, that an old policy predicts what the new one does, and that an
    offline method's loss is what its formula gives for a margin of 0.
    """
    rows = batch[: min(ROWS, len(batch))]
    with policy.uncounted():  # a check is not part of the run's cost
        if isinstance(rows, Transitions | StepPairs):
            _check_steps(policy, rows)
        elif isinstance(rows, LastSteps):
            _check_last_steps(policy, rows)
        else:
            _check_images(policy, rows, method, cfg, noise)


def _check_steps(policy: Policy, rows: Transitions | StepPairs) -> None:
    x = rows.x if isinstance(rows, Transitions) else rows.x_w
    on, off = policy.step(x, rows.k, rows.cond), policy.reference_step(x, rows.k, rows.cond)
    gap = float(((on.mean - off.mean) / on.std).abs().max())
    if gap > TOLERANCE[policy.backbone.dtype]:
        _fail("a new adapter changes the base model", f"its steps differ by {gap:.2g} standard deviations")
    if isinstance(rows, Transitions):
        gap = float((on.log_prob(rows.x_next) - rows.log_prob).abs().max())
        if gap > TOLERANCE[policy.backbone.dtype]:
            _fail("the ratio is not 1 before the first update", f"a log-prob evaluated again differs by {gap:.2g}")


def _check_last_steps(policy: Policy, rows: LastSteps) -> None:
    again, ended = take_again(policy, rows), rows.x0.flatten(1).norm()
    with policy.adapter_off():
        gap = float((again - take_again(policy, rows)).flatten(1).norm() / ended)
    if gap > WALK_TOLERANCE[policy.backbone.dtype]:
        _fail("a new adapter changes the base model", f"its last steps end {gap:.2g} of the latents' size apart")
    gap = float((again - rows.x0).flatten(1).norm() / ended)
    if gap > WALK_TOLERANCE[policy.backbone.dtype]:
        _fail(
            "the last steps of a rollout cannot be taken again",
            f"before the first update they end {gap:.2g} of the latents' size from where they ended in the rollout",
        )


def _check_images(policy: Policy, rows: ImagePairs | Images, method: Method[Any], cfg: Any, noise: Noise) -> None:
    x = rows.x_w if isinstance(rows, ImagePairs) else rows.x
    tau = torch.full((len(x),), policy.schedule.train_steps // 2, device=x.device)
    prediction = policy.predict(x, tau, rows.cond)
    others = {"a new adapter changes the base model": policy.reference_predict(x, tau, rows.cond)}
    if policy.old_weights is not None:
        others["the old policy is not the new one before the first update"] = policy.old_predict(x, tau, rows.cond)
    for problem, other in others.items():
        gap = float((prediction - other).abs().max())
        if gap > TOLERANCE[policy.backbone.dtype]:
            _fail(problem, f"its predictions differ by {gap:.2g}")
    expected = method.loss_at_start(cfg) if isinstance(method, OfflineMethod) else None
    if expected is None:
        return
    loss = float(method_calls.loss(method, policy, rows, cfg, noise)[0])
    if abs(loss - expected) > LOSS_TOLERANCE[policy.backbone.dtype]:
        _fail(
            f"the loss is {loss:.6g} before the first update",
            f"it should be {expected:.6g} while the policy is the reference",
        )


def _fail(problem: str, cause: str) -> None:
    raise RunError(problem, cause, "this is a bug of the method or of the libraries (please report it, with run.json)")

"""Measures once what rounding does to a run's first optimiser step, and compares it with the clip or the logit.

| logged | meaning |
|---|---|
| ``start.log_ratio`` | largest absolute log-ratio of the first rows before any update, where it should be 0 |
| ``start.log_prob_error`` | root mean square error of a step's log-prob against float32 arithmetic |
| ``start.logit_error`` | the same of the logit of a loss on given images, once policy and reference round apart |

The exact values come from the same network with every operation in float32, one operation at a time: no second copy of
the weights is made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from benchbench.api import Method, OfflineMethod
from benchbench.diffusion.policy import Policy
from benchbench.noise import Noise
from benchbench.types import Batch, ImagePairs, Images, StepPairs, Transitions

Log = Callable[[str], None]
HALF = (torch.float16, torch.bfloat16)
LOGIT = 1.0  # where a sigmoid bends: an error of this size is as large as a preference


class InFloat32(TorchFunctionMode):
    """Within the block every operation on half-precision tensors computes in float32. For forward passes."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        in_place = func.__name__.endswith("_") and not func.__name__.endswith("__")
        if in_place:  # writes into its first argument, which a copy would not see
            return func(*args, **(kwargs or {}))
        return func(*(_raise(arg) for arg in args), **{name: _raise(arg) for name, arg in (kwargs or {}).items()})


def _raise(value: Any) -> Any:
    if isinstance(value, Tensor) and value.dtype in HALF:
        return value.float()
    if type(value) in (list, tuple):
        return type(value)(_raise(item) for item in value)
    return value


@torch.no_grad()
def measure_rounding(
    policy: Policy, batch: Batch, method: Method[Any], cfg: Any, noise: Noise, log: Log
) -> dict[str, float]:
    """Metrics of a run's first batch, before any update; warns where rounding reaches the clip or the logit's scale.

    None of its evaluations are charged to the run.
    """
    rows = batch[: min(policy.rows_at_once or len(batch), len(batch))]
    with policy.uncounted(), policy.processes.sharded(), torch.compiler.set_stance("force_eager"):
        if isinstance(rows, Transitions | StepPairs):
            return _of_steps(policy, rows, cfg, log)
        return _of_images(policy, rows, method, cfg, noise, log)


def _of_steps(policy: Policy, rows: Transitions | StepPairs, cfg: Any, log: Log) -> dict[str, float]:
    x, x_next = (rows.x, rows.x_next) if isinstance(rows, Transitions) else (rows.x_w, rows.next_w)
    clip = getattr(cfg, "clip", None)
    dimensions = x[0].numel() if getattr(cfg, "log_prob", "mean") == "sum" else 1
    found = policy.log_probs(x, x_next, rows.k, rows.cond)
    if isinstance(rows, Transitions):
        before = rows.log_prob
    else:
        with policy.adapter_off():
            before = policy.log_probs(x, x_next, rows.k, rows.cond)
    seen = {"start.log_ratio": dimensions * float((found - before).abs().max())}
    if _is_half(policy):
        with InFloat32():
            exact = policy.log_probs(x, x_next, rows.k, rows.cond)
        seen["start.log_prob_error"] = dimensions * float((found - exact).square().mean().sqrt())
    worst = max(seen.values())
    if clip is not None and worst >= clip:
        log(
            f"warning: in {policy.backbone.dtype} rounding moves a log-ratio by {worst:.2g}, and the clip is {clip:g}: "
            "ratios of small updates are noise. More exact: --set train.dtype=fp32"
        )
    return seen


def _of_images(
    policy: Policy, rows: ImagePairs | Images, method: Method[Any], cfg: Any, noise: Noise, log: Log
) -> dict[str, float]:
    scale = method.logit_scale(cfg) if isinstance(method, OfflineMethod) else None
    if scale is None or not _is_half(policy):
        return {}
    x = torch.cat([rows.x_w, rows.x_l]) if isinstance(rows, ImagePairs) else rows.x
    cond = rows.cond.repeat(2) if isinstance(rows, ImagePairs) else rows.cond
    last = policy.schedule.train_steps - 1
    tau = torch.linspace(1, last, len(rows), device=x.device).long().repeat(len(x) // len(rows))
    target = torch.randn(x.shape, generator=noise.generator("rounding")).to(x.device)
    noised = policy.schedule.add_noise(x, target, tau)

    def errors() -> Tensor:
        return (policy.predict(noised, tau, cond) - target).square().flatten(1).mean(1)

    found = errors()
    with InFloat32():
        difference = found - errors()
    if isinstance(rows, ImagePairs):
        winner, loser = difference.chunk(2)
        difference = winner - loser
    # once they differ, the policy's rounding and the reference's are independent: twice the variance
    error = scale * float((2 * difference.square().mean()).sqrt())
    if error >= LOGIT:
        log(
            f"warning: in {policy.backbone.dtype} rounding moves the logit of a pair by {error:.2g}, as much as a "
            "preference does. More exact: --set train.dtype=fp16 or fp32"
        )
    return {"start.logit_error": error}


def _is_half(policy: Policy) -> bool:
    return policy.backbone.dtype in ("fp16", "bf16")

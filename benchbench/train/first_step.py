"""Measures once how far rounding moves a run's first optimizer step, compared with the clip or the logit's scale.

| logged | meaning |
|---|---|
| ``start.log_ratio`` | largest absolute log-ratio in the first rows before any update; it should be 0 |
| ``start.log_prob_error`` | root mean square error of a step's log-prob against float32 arithmetic |
| ``start.logit_error`` | root mean square error of an offline method's logit, once policy and reference round apart |

The exact values come from the same network, with the inputs of each operation cast to float32 for that operation
alone, so that no second copy of the weights is needed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from benchbench.api import Method, OfflineMethod
from benchbench.diffusion.policy import Policy
from benchbench.noise import Noise
from benchbench.runtime.files import Log
from benchbench.types import Batch, ImagePairs, Images, LastSteps, StepPairs, Transitions

HALF = (torch.float16, torch.bfloat16)
LOGIT = 1.0  # an error of this size moves the sigmoid as much as a preference does


class InFloat32(TorchFunctionMode):
    """Computes every operation on half-precision tensors in float32 within the block; for forward passes only."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        in_place = func.__name__.endswith("_") and not func.__name__.endswith("__")
        if in_place:  # a cast copy of its first argument would not receive the result
            return func(*args, **(kwargs or {}))
        return func(
            *(_to_float32(arg) for arg in args), **{name: _to_float32(arg) for name, arg in (kwargs or {}).items()}
        )


def _to_float32(value: Any) -> Any:
    if isinstance(value, Tensor) and value.dtype in HALF:
        return value.float()
    if type(value) in (list, tuple):
        return type(value)(_to_float32(item) for item in value)
    return value


@torch.no_grad()
def measure_rounding(
    policy: Policy, batch: Batch, method: Method[Any], cfg: Any, noise: Noise, log: Log
) -> dict[str, float]:
    """Returns the metrics above for a run's first batch; call it before any update.

    Logs a warning where rounding is as large as the clip or the logit's scale. Its evaluations are not counted as the
    run's cost.
    """
    rows = batch[: min(policy.rows_at_once or len(batch), len(batch))]
    with policy.uncounted(), policy.processes.sharded(), torch.compiler.set_stance("force_eager"):
        if isinstance(rows, Transitions | StepPairs):
            return _step_metrics(policy, rows, cfg, log)
        if isinstance(rows, LastSteps):
            return {}  # their loss measures it in every step, as ``walk_gap``
        return _image_metrics(policy, rows, method, cfg, noise, log)


def _step_metrics(policy: Policy, rows: Transitions | StepPairs, cfg: Any, log: Log) -> dict[str, float]:
    x, x_next = (rows.x, rows.x_next) if isinstance(rows, Transitions) else (rows.x_w, rows.next_w)
    clip = getattr(cfg, "clip", None)
    dimensions = x[0].numel() if getattr(cfg, "log_prob", "mean") == "sum" else 1
    log_prob = policy.log_probs(x, x_next, rows.k, rows.cond)
    if isinstance(rows, Transitions):
        reference = rows.log_prob
    else:
        with policy.adapter_off():
            reference = policy.log_probs(x, x_next, rows.k, rows.cond)
    metrics = {"start.log_ratio": dimensions * float((log_prob - reference).abs().max())}
    if _is_half(policy):
        with InFloat32():
            exact = policy.log_probs(x, x_next, rows.k, rows.cond)
        metrics["start.log_prob_error"] = dimensions * float((log_prob - exact).square().mean().sqrt())
    worst = max(metrics.values())
    if clip is not None and worst >= clip:
        log(
            f"warning: in {policy.backbone.dtype} rounding moves a log-ratio by {worst:.2g}, and the clip is {clip:g}: "
            "ratios of small updates are noise. For more precision: --set train.dtype=fp32"
        )
    return metrics


def _image_metrics(
    policy: Policy, rows: ImagePairs | Images, method: Method[Any], cfg: Any, noise: Noise, log: Log
) -> dict[str, float]:
    scale = method.logit_scale(cfg) if isinstance(method, OfflineMethod) else None
    if scale is None or not _is_half(policy):
        return {}
    x = torch.cat([rows.x_w, rows.x_l]) if isinstance(rows, ImagePairs) else rows.x
    cond = rows.cond.repeat(2) if isinstance(rows, ImagePairs) else rows.cond
    last = policy.schedule.train_steps - 1
    tau = torch.linspace(1, last, len(rows), device=x.device).long().repeat(len(x) // len(rows))
    eps = torch.randn(x.shape, generator=noise.generator("rounding")).to(x.device)
    noised, target = policy.schedule.add_noise(x, eps, tau), policy.schedule.target(x, eps, tau)

    def errors() -> Tensor:
        return (policy.predict(noised, tau, cond) - target).square().flatten(1).mean(1)

    rounded = errors()
    with InFloat32():
        difference = rounded - errors()
    if isinstance(rows, ImagePairs):
        winner, loser = difference.chunk(2)
        difference = winner - loser
    # once the policy has moved, its rounding and the reference's are independent, which doubles the variance
    error = scale * float((2 * difference.square().mean()).sqrt())
    if error >= LOGIT:
        log(
            f"warning: in {policy.backbone.dtype} rounding moves the logit of a pair by {error:.2g}, as much as a "
            "preference does. For more precision: --set train.dtype=fp16 or fp32"
        )
    return {"start.logit_error": error}


def _is_half(policy: Policy) -> bool:
    return policy.backbone.dtype in ("fp16", "bf16")

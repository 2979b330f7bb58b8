"""Splits a GPU's time by the kinds of its kernels."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from tests.gpu.context import StepContext

KINDS = {
    "attention": r"flash|fmha|attention|sdpa|softmax",
    "convolution": r"conv|wgrad|dgrad|implicit|winograd",
    "matrix products": r"gemm|gemv|cublas|cutlass|xmma|nvjet|wgmma|sm\d\d_|splitk",
    "norms": r"norm|welford|rowwise_?moments",
    "copies and layouts": r"memcpy|memset|copy|transpose|nchw|nhwc|cat|gather|permute",
    "compiled kernels": r"triton",
    "elementwise": r"elementwise|vectorized|pointwise|silu|gelu|reduce",
}
PRODUCTS = ("convolution", "matrix products")
NAMED = 3


def kernel_kind(kernel: str) -> str:
    """Returns the kind of a kernel by its name."""
    name = kernel.lower()
    return next((result for result, pattern in KINDS.items() if re.search(pattern, name)), "other kernels")


def groups(context: StepContext, run: Callable[[], object]) -> dict[str, Any]:
    """Returns percent of wall time by kind, and the three largest kinds besides convolutions and matrix products.

    ``idle`` is the rest of the wall time, in which the device waited for the host. On a CPU operators are counted.
    """
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CUDA] if context.cuda else [ProfilerActivity.CPU]
    with profile(activities=activities) as result:
        seconds = context.seconds(run)
    spent: dict[str, float] = defaultdict(float)
    for event in result.key_averages():
        micro = getattr(event, "self_device_time_total", 0) if context.cuda else event.self_cpu_time_total
        spent[kernel_kind(event.key)] += micro / 1e6
    spent["idle"] = max(0.0, seconds - sum(spent.values()))
    percent = {name: 100 * value / seconds for name, value in sorted(spent.items(), key=lambda item: -item[1])}
    others = [f"{name} {value:.0f} %" for name, value in percent.items() if name not in PRODUCTS]
    return {"percent_by_kind": percent, "largest_other_costs": others[:NAMED]}

"""Step 5: measures one forward of SD 1.5's UNet without gradient, eager, channels-last and compiled."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable
from typing import Any

import torch

from benchbench.diffusion import text
from tests.gpu import models, runs
from tests.gpu.context import PartResult, StepContext

ROWS = (4, 8, 16, 32)
COMPILED_AT = 8
LAYOUTS = {"eager": (), "channels-last": ("train.channels_last=true",)}
BOTH = ("train.channels_last=true", "train.compile=true")
MOST_COMPILED = 1.1  # largest time of the compiled network with its adapter over that without
ROUNDS, TIMES = 3, 4


def run(context: StepContext) -> None:
    """Runs a part for each layout, then the compiled network at 8 rows and at the best number of rows."""
    per_row: dict[int, float] = {}
    for name, settings in LAYOUTS.items():
        with context.part(name) as result:
            forward = network(context, *settings)
            for rows in ROWS:
                measure(context, forward, rows, result)
                per_row[rows] = min(per_row.get(rows, float("inf")), result[f"{rows} rows"]["base_ms"] / rows)
    best = min(per_row, key=lambda rows: per_row[rows]) if per_row else ROWS[-1]
    for rows in dict.fromkeys((COMPILED_AT, best)):
        with context.part(f"compiled at {rows} rows") as result:
            forward = network(context, *(BOTH if context.cuda else BOTH[:1]))  # a CPU compiles for minutes
            result["compile_seconds"] = context.seconds(lambda: forward(rows, True))  # noqa: B023
            measure(context, forward, rows, result)
            ratio = result[f"{rows} rows"]["adapter_over_base"]
            if context.cuda:
                result.check(f"with the adapter {ratio:.2f} times the base's time", ratio <= MOST_COMPILED)


def network(context: StepContext, *settings: str) -> Callable[[int, bool], Any]:
    """Returns a function of (rows, with the adapter) that runs one forward of a network with a moved adapter."""
    dtype = "bf16" if context.cuda else "fp32"
    policy = runs.trainer(context, "tailorpo", *settings, dtype=dtype).parts.policy
    models.move_adapter(policy.backbone.network)
    x = torch.randn(max(ROWS), *policy.backbone.latent_shape, device=context.device)
    tau = torch.full((max(ROWS),), 500, device=context.device)
    cond = policy.encode(["a cat"] * max(ROWS))

    @torch.no_grad()
    def forward(rows: int, adapter: bool) -> Any:
        with contextlib.nullcontext() if adapter else policy.adapter_off():
            return text.predict(policy.backbone.network, x[:rows], tau[:rows], cond[:rows])

    return forward


def measure(context: StepContext, forward: Callable[[int, bool], Any], rows: int, result: PartResult) -> None:
    """Notes medians of alternating rounds, in milliseconds a forward."""
    times: dict[bool, list[float]] = {False: [], True: []}
    for adapter in times:
        forward(rows, adapter)
        forward(rows, adapter)
    for _ in range(ROUNDS):
        for adapter, seen in times.items():
            run = lambda adapter=adapter: [forward(rows, adapter) for _ in range(TIMES)]  # noqa: E731
            seen.append(1000 * context.seconds(run) / TIMES)
    base, adapted = (statistics.median(times[adapter]) for adapter in (False, True))
    result[f"{rows} rows"] = {"base_ms": base, "adapter_ms": adapted, "adapter_over_base": adapted / base}

"""Step 5: milliseconds of one forward of SD 1.5's UNet without gradient, as benchbench's settings lay it out."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable
from typing import Any

import torch

from benchbench.diffusion import text
from tests.gpu import models, runs
from tests.gpu.here import Found, Here

ROWS = (4, 8, 16, 32)
COMPILED_AT = 8
LAYOUTS = {"eager": (), "channels-last": ("train.channels_last=true",)}
BOTH = ("train.channels_last=true", "train.compile=true")
MOST_COMPILED = 1.1  # time of the adapted network over the base's, compiled
ROUNDS, TIMES = 3, 4


def run(here: Here) -> None:
    """A part a layout, then the compiled network at 8 rows and at the number of rows that was best."""
    per_row: dict[int, float] = {}
    for name, settings in LAYOUTS.items():
        with here.part(name) as found:
            forward = network(here, *settings)
            for rows in ROWS:
                measure(here, forward, rows, found)
                per_row[rows] = min(per_row.get(rows, float("inf")), found[f"{rows} rows"]["base_ms"] / rows)
    best = min(per_row, key=lambda rows: per_row[rows]) if per_row else ROWS[-1]
    for rows in dict.fromkeys((COMPILED_AT, best)):
        with here.part(f"compiled at {rows} rows") as found:
            forward = network(here, *(BOTH if here.cuda else BOTH[:1]))  # a CPU compiles for minutes
            found["compile_seconds"] = here.seconds(lambda: forward(rows, True))  # noqa: B023
            measure(here, forward, rows, found)
            ratio = found[f"{rows} rows"]["adapter_over_base"]
            if here.cuda:
                found.check(f"with the adapter {ratio:.2f} times the base's time", ratio <= MOST_COMPILED)


def network(here: Here, *settings: str) -> Callable[[int, bool], Any]:
    """A function of (rows, with the adapter) that runs one forward of a network with a trained adapter."""
    dtype = "bf16" if here.cuda else "fp32"
    policy = runs.trainer(here, "tailorpo", *settings, dtype=dtype).parts.policy
    models.move_adapter(policy.backbone.network)
    x = torch.randn(max(ROWS), *policy.backbone.latent_shape, device=here.device)
    tau = torch.full((max(ROWS),), 500, device=here.device)
    cond = policy.encode(["a cat"] * max(ROWS))

    @torch.no_grad()
    def forward(rows: int, adapter: bool) -> Any:
        with contextlib.nullcontext() if adapter else policy.adapter_off():
            return text.noise(policy.backbone.network, x[:rows], tau[:rows], cond[:rows])

    return forward


def measure(here: Here, forward: Callable[[int, bool], Any], rows: int, found: Found) -> None:
    """Medians of alternating rounds, in milliseconds a forward."""
    times: dict[bool, list[float]] = {False: [], True: []}
    for adapter in times:
        forward(rows, adapter)
        forward(rows, adapter)
    for _ in range(ROUNDS):
        for adapter, seen in times.items():
            run = lambda adapter=adapter: [forward(rows, adapter) for _ in range(TIMES)]  # noqa: E731
            seen.append(1000 * here.seconds(run) / TIMES)
    base, adapted = (statistics.median(times[adapter]) for adapter in (False, True))
    found[f"{rows} rows"] = {"base_ms": base, "adapter_ms": adapted, "adapter_over_base": adapted / base}

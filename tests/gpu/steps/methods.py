"""Step 3: measures a rollout, its losses and an optimizer step of each method, and of Diffusion-DPO on all weights."""

from __future__ import annotations

from typing import Any

from tests.bench.clock import Clock
from tests.gpu import runs
from tests.gpu.context import PartResult, StepContext
from tests.gpu.timers import Calls

IMAGES = 4
FEWER = {"ddpo": 2, "spo": 2}  # images of a rollout that is slow: fp32, and four candidates at each of 20 steps
FULL = "diffusion-dpo, every weight"


def run(context: StepContext) -> None:
    """Runs a part for each method; the second of two rollouts is measured."""
    for method in (*runs.ONLINE, *runs.OFFLINE):
        with context.part(method) as result:
            measure_method(context, method, result)
    with context.part(FULL) as result:
        measure_method(context, "diffusion-dpo", result, "train.finetune=full")


def measure_method(context: StepContext, method: str, result: PartResult, *overrides: str) -> None:
    """Notes loss, peak memory, seconds, and each network's share of them."""
    messages: list[str] = []
    trainer = runs.trainer(
        context, method, *runs.small_settings(method, FEWER.get(method, IMAGES)), *overrides, messages=messages
    )
    try:
        backbone = trainer.parts.policy.backbone
        result["dtype"], result["first_seconds"] = backbone.dtype, context.seconds(trainer._rollout)
        context.reset_peak()
        clocks: dict[str, Any] = {"unet": Clock(backbone.network), "vae": Clock(backbone.vae.decoder)}
        if method in runs.OFFLINE:
            clocks["vae"] = Clock(backbone.vae.encoder)
        else:
            method_name = "score_at" if method == "spo" else "score_differentiable"
            clocks["reward"] = Calls(trainer.parts.step_reward.reward, method_name, context.cuda)
        result.update(shares(context, trainer, clocks, result))
        result["peak_gib"], result["micro_batch"], result["said"] = context.peak_gib, trainer.micro_batch, messages
    finally:
        runs.close(trainer)


def shares(context: StepContext, trainer: Any, clocks: dict[str, Any], result: PartResult) -> dict[str, float]:
    """Returns the percent of a rollout's time in each network; the backward pass counts for the UNet alone."""
    rows: list[dict[str, Any]] = []
    for clock in clocks.values():
        clock.__enter__()
    try:
        seconds = context.seconds(lambda: rows.append(trainer._rollout()))
    finally:
        for clock in clocks.values():
            clock.__exit__(None, None, None)
    runs.note(result, rows[0])
    counted = {f"{name}_percent": 100 * clock.seconds / seconds for name, clock in clocks.items()}
    return {"rollout_seconds": seconds, **counted}

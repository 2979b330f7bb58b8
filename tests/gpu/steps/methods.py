"""Step 3: every method makes one rollout, its losses and an optimiser step; Diffusion-DPO on all weights too."""

from __future__ import annotations

from typing import Any

from tests.bench.clock import Clock
from tests.gpu import runs
from tests.gpu.here import Found, Here
from tests.gpu.timers import Calls

IMAGES = 4
FULL = "diffusion-dpo, every weight"


def run(here: Here) -> None:
    """A part a method: the second of two rollouts is measured."""
    for method in (*runs.ONLINE, *runs.OFFLINE):
        with here.part(method) as found:
            one(here, method, found)
    with here.part(FULL) as found:
        one(here, "diffusion-dpo", found, "train.finetune=full")


def one(here: Here, method: str, found: Found, *overrides: str) -> None:
    """Loss, peak memory, seconds, and the shares of the networks in them."""
    said: list[str] = []
    made = runs.trainer(here, method, *runs.words(method, IMAGES), *overrides, said=said)
    try:
        backbone = made.parts.policy.backbone
        found["dtype"], found["first_seconds"] = backbone.dtype, here.seconds(made._rollout)
        here.reset_peak()
        clocks: dict[str, Any] = {"unet": Clock(backbone.network), "vae": Clock(backbone.vae.decoder)}
        if method in runs.OFFLINE:
            clocks["vae"] = Clock(backbone.vae.encoder)
        else:
            asked = "score_at" if method == "spo" else "score_differentiable"
            clocks["reward"] = Calls(made.parts.reward.reward, asked, here.cuda)
        found.update(shares(here, made, clocks, found))
        found["peak_gib"], found["micro_batch"], found["said"] = here.peak_gib, made.micro_batch, said
    finally:
        runs.close(made)


def shares(here: Here, made: Any, clocks: dict[str, Any], found: Found) -> dict[str, float]:
    """Percent of a rollout's time in each network; of the backward pass the UNet's alone is counted."""
    rows: list[dict[str, Any]] = []
    for clock in clocks.values():
        clock.__enter__()
    try:
        seconds = here.seconds(lambda: rows.append(made._rollout()))
    finally:
        for clock in clocks.values():
            clock.__exit__(None, None, None)
    runs.note(found, rows[0])
    counted = {f"{name}_percent": 100 * clock.seconds / seconds for name, clock in clocks.items()}
    return {"rollout_seconds": seconds, **counted}

"""Part `unet`: shares of the time inside the UNet and the other networks, in generation and training."""

from __future__ import annotations

import time
from itertools import count
from typing import Any

from tests.bench.clock import Clock
from tests.bench.measure import Row, synchronise
from tests.bench.parts.generation import generator
from tests.bench.parts.training import trainer
from tests.bench.setting import Setting

IMAGES = {"cpu": 64, "cuda": 16}
TIMES = {
    "cpu": 3,
    "cuda": 1,
}  # measurements a round: each is short, so a core that is slow for a moment would change the shares


def measure(setting: Setting) -> list[Row]:
    """Measures our generation of images and an iteration of TailorPO."""
    ours = generator(setting)
    with setting.fresh() as store:
        ours(store, 8)

    stores = count()

    def images() -> None:
        ours(setting.work / f"unet-{next(stores)}", IMAGES[setting.device])

    backbone = ours.model._backbone
    rows = _shares(
        setting,
        f"generating {IMAGES[setting.device]} images",
        images,
        backbone.network,
        {"decoder": backbone.vae.decoder},
        95.0,
    )
    rollout, run = trainer(setting, "tailorpo")
    rollout()
    backbone = run.parts.policy.backbone
    other_networks = {"decoder": backbone.vae.decoder, "reward": run.parts.step_reward.reward.model.vision_model}
    return rows + _shares(setting, "a TailorPO iteration", rollout, backbone.network, other_networks, 85.0)


def _shares(setting: Setting, what: str, run: Any, unet: Any, other_networks: dict[str, Any], bar: float) -> list[Row]:
    """Returns percent of wall and CPU time in the UNet, in each other network, and outside of all."""
    bar_of = {"UNet": bar if setting.device == "cpu" else None}
    names = ("UNet", *other_networks, "everything else")
    shares: dict[str, list[float]] = {name: [] for name in names}
    cpu_shares: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(TIMES[setting.device] * setting.rounds):
        clocks = {name: Clock(module) for name, module in {"UNet": unet, **other_networks}.items()}
        for clock in clocks.values():
            clock.__enter__()
        synchronise()
        start, cpu_start = time.perf_counter(), time.process_time()
        run()
        synchronise()
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu_start
        for clock in clocks.values():
            clock.__exit__(None, None, None)
        for name, clock in clocks.items():
            shares[name].append(100 * clock.seconds / wall)
            cpu_shares[name].append(100 * clock.cpu_seconds / cpu)
        for percents in (shares, cpu_shares):
            percents["everything else"].append(100 - sum(percents[name][-1] for name in clocks))
    return [
        Row("unet", f"{what}: {name}", "%", tuple(shares[name]), tuple(cpu_shares[name]), bar_of.get(name))
        for name in names
    ]

"""(c) The share of wall time inside the UNet, generating and training, and what the rest is."""

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
}  # each round: short, and a core that is slower for a moment sways the shares of two that work side by side


def measure(setting: Setting) -> list[Row]:
    """Of our own generation of images, and of an iteration of TailorPO."""
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
    rollout, trained = trainer(setting, "tailorpo")
    rollout()
    backbone = trained.parts.policy.backbone
    others = {"decoder": backbone.vae.decoder, "reward": trained.parts.reward.reward.model.vision_model}
    return rows + _shares(setting, "a TailorPO iteration", rollout, backbone.network, others, 85.0)


def _shares(setting: Setting, what: str, run: Any, unet: Any, others: dict[str, Any], bar: float) -> list[Row]:
    """Percent of wall time in the UNet, in each other network, and in neither."""
    bar_of = {"UNet": bar if setting.device == "cpu" else None}
    names = ("UNet", *others, "everything else")
    shares: dict[str, list[float]] = {name: [] for name in names}
    of_cpu: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(TIMES[setting.device] * setting.rounds):
        clocks = {name: Clock(module) for name, module in {"UNet": unet, **others}.items()}
        for clock in clocks.values():
            clock.__enter__()
        synchronise()
        start, began = time.perf_counter(), time.process_time()
        run()
        synchronise()
        wall, cpu = time.perf_counter() - start, time.process_time() - began
        for clock in clocks.values():
            clock.__exit__(None, None, None)
        for name, clock in clocks.items():
            shares[name].append(100 * clock.seconds / wall)
            of_cpu[name].append(100 * clock.cpu_seconds / cpu)
        for found in (shares, of_cpu):
            found["everything else"].append(100 - sum(found[name][-1] for name in clocks))
    return [
        Row("unet", f"{what}: {name}", "%", tuple(shares[name]), tuple(of_cpu[name]), bar_of.get(name))
        for name in names
    ]

"""Part `growth`: generation time by images, batch size and steps."""

from __future__ import annotations

from tests.bench.measure import Row, alternate
from tests.bench.parts.generation import generator
from tests.bench.setting import Setting

IMAGES = {"cpu": 64, "cuda": 16}


def measure(setting: Setting) -> list[Row]:
    """Measures milliseconds an image; equal values mean that time grows in proportion and no faster."""
    images = IMAGES[setting.device]
    walks = {steps: generator(setting, steps) for steps in (2, 5, 10, 20)}

    def make(steps: int, count: int, batch: int | None) -> None:
        with setting.fresh() as store:
            walks[steps](store, count, batch)

    for steps in walks:
        make(steps, 8, None)
    cases: dict[str, tuple[int, int, int | None]] = {}
    cases |= {f"{count} images of 5 steps": (5, count, None) for count in (images // 4, images, 4 * images)}
    cases |= {f"{images} images of 5 steps, {batch} at a time": (5, images, batch) for batch in (1, 8, 32)}
    cases |= {f"{images} images of {steps} steps": (steps, images, None) for steps in (2, 10, 20)}
    times = alternate({name: lambda c=case: make(*c) for name, case in cases.items()}, 2)
    return [
        Row(
            "growth",
            name,
            "ms an image",
            tuple(1000 * wall / cases[name][1] for wall in case_times.wall),
            tuple(1000 * cpu / cases[name][1] for cpu in case_times.cpu),
        )
        for name, case_times in times.items()
    ]

"""(a) Images and their scores, against the loop people write."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.bench.apart import Apart
from tests.bench.measure import Row, alternate, ratio, seconds
from tests.bench.setting import Setting, quiet

IMAGES = {"cpu": 256, "cuda": 32}


def measure(setting: Setting) -> list[Row]:
    """Everything that a user waits for, loading the weights included."""
    from benchbench.evaluate.measure import measure as evaluate

    images = IMAGES[setting.device]

    def own(count: int) -> None:
        with setting.fresh() as store:
            evaluate(
                setting.folder,
                {"base": []},
                setting.prompts(count),
                [setting.reward],
                store=store,
                images_per_prompt=1,
                device=setting.device,
                log=quiet,
            )

    own(min(8, images))
    with Apart(sys.modules[__name__], setting, images) as theirs:
        times = alternate(theirs.cases() | {"ours": lambda: own(images)}, setting.rounds)
    rows = [seconds("score", f"{images} images and scores, {name}", found) for name, found in times.items()]
    for (name, found), bar in zip(list(times.items())[:2], (2.0, 1.4), strict=True):
        rows.append(ratio("score", f"{name} / ours", found, times["ours"], bar if setting.device == "cpu" else None))
    return rows


def baselines(setting: Setting, images: int) -> dict[str, Callable[[], None]]:
    """Batches of 8, then one image after the other."""
    from tests.bench.baselines import generate_and_score as plain

    def make(score: Any, count: int) -> None:
        with setting.fresh() as out:
            pipe = plain.load_pipeline(setting.root, setting.device, setting.torch_dtype())
            paths = plain.generate(pipe, setting.texts[:count], out, 8)
            score(paths, setting.texts[:count], setting.load_reward)

    ways = {"loaded for every image": plain.score_loading_each_time, "kept": plain.score_keeping}
    for score in ways.values():
        make(score, min(8, images))
    return {f"batches of 8, reward {name}": partial(make, score, images) for name, score in ways.items()}

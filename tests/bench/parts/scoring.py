"""Part `score`: generation and scoring against the loop that people write."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.bench.baseline_process import BaselineProcess
from tests.bench.measure import Row, alternate, ratio, seconds
from tests.bench.setting import Setting, quiet

IMAGES = {"cpu": 256, "cuda": 32}


def measure(setting: Setting) -> list[Row]:
    """Measures all that a user waits for, with loading the weights."""
    from benchbench.evaluate.measure import measure as evaluate

    images = IMAGES[setting.device]

    def run_ours(count: int) -> None:
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

    run_ours(min(8, images))
    with BaselineProcess(sys.modules[__name__], setting, images) as process:
        times = alternate(process.cases() | {"ours": lambda: run_ours(images)}, setting.rounds)
    rows = [seconds("score", f"{images} images and scores, {name}", case_times) for name, case_times in times.items()]
    for (name, case_times), bar in zip(list(times.items())[:2], (2.0, 1.4), strict=True):
        rows.append(
            ratio("score", f"{name} / ours", case_times, times["ours"], bar if setting.device == "cpu" else None)
        )
    return rows


def baselines(setting: Setting, images: int) -> dict[str, Callable[[], None]]:
    """Returns the cases of the plain loop, which generates batches of 8 and scores one image after the other."""
    from tests.bench.baselines import generate_and_score as plain

    def make(score: Any, count: int) -> None:
        with setting.fresh() as out:
            pipe = plain.load_pipeline(setting.root, setting.device, setting.torch_dtype())
            paths = plain.generate(pipe, setting.texts[:count], out, 8)
            score(paths, setting.texts[:count], setting.load_reward)

    scorers = {"loaded for every image": plain.score_loading_each_time, "kept": plain.score_keeping}
    for score in scorers.values():
        make(score, min(8, images))
    return {f"batches of 8, reward {name}": partial(make, score, images) for name, score in scorers.items()}

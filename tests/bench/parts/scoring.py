"""(a) Images and their scores, against the loop people write."""

from __future__ import annotations

from typing import Any

from tests.bench.measure import Row, alternate, ratio, seconds
from tests.bench.setting import Setting, quiet

IMAGES = 256


def measure(setting: Setting) -> list[Row]:
    """Everything that a user waits for, loading the weights included."""
    from benchbench.evaluate.measure import measure as evaluate
    from tests.bench.baselines import generate_and_score as plain

    def theirs(score: Any, count: int) -> None:
        with setting.fresh() as out:
            pipe = plain.load_pipeline(setting.root, setting.device, setting.torch_dtype())
            paths = plain.generate(pipe, setting.texts[:count], out, 8)
            score(paths, setting.texts[:count], setting.load_reward)

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
                say=quiet,
            )

    cases = {
        "batches of 8, reward loaded for every image": lambda n=IMAGES: theirs(plain.score_loading_each_time, n),
        "batches of 8, reward kept": lambda n=IMAGES: theirs(plain.score_keeping, n),
        "ours": lambda n=IMAGES: own(n),
    }
    for case in cases.values():
        case(8)  # type: ignore[call-arg]
    times = alternate(cases, setting.rounds)
    rows = [seconds("score", f"{IMAGES} images and scores, {name}", found) for name, found in times.items()]
    for (name, found), bar in zip(list(times.items())[:2], (2.0, 1.4), strict=True):
        rows.append(ratio("score", f"{name} / ours", found, times["ours"], bar if setting.device == "cpu" else None))
    return rows

"""(f) The second run of an evaluation whose images and scores are in the store, its report included."""

from __future__ import annotations

from benchbench.api import PromptSet
from tests.bench.measure import Row, alternate, ratio, seconds
from tests.bench.setting import Setting, quiet

PROMPTS, IMAGES = {"cpu": 45, "cuda": 8}, {"cpu": 5, "cuda": 2}


def measure(setting: Setting) -> list[Row]:
    """A few images of each of a few prompts, two rewards."""
    from benchbench.evaluate.report import evaluate

    count, each = PROMPTS[setting.device], IMAGES[setting.device]
    prompts: PromptSet = setting.prompts(count)

    def run(store: object) -> None:
        evaluate(
            setting.folder,
            [],
            prompts,
            [setting.reward, "shapes-colour"],
            store=store,  # type: ignore[arg-type]
            images_per_prompt=each,
            device=setting.device,
            log=quiet,
        )

    with setting.fresh() as warm:
        evaluate(setting.folder, [], setting.prompts(2), ["shapes-colour"], store=warm, images_per_prompt=1, log=quiet)
    stores = [setting.work / f"repeat-{i}" for i in range(setting.rounds)]
    rounds, again = iter(stores), iter(stores)
    times = alternate({"first": lambda: run(next(rounds)), "again": lambda: run(next(again))}, setting.rounds, False)
    return [
        seconds("repeat", f"an evaluation of {count * each} images with two rewards", times["first"]),
        seconds("repeat", "the same again", times["again"]),
        ratio("repeat", "first / again", times["first"], times["again"], 50.0),
    ]

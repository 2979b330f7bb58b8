"""Part `repeat`: an evaluation with its report, run again when its images and scores are in the store."""

from __future__ import annotations

from benchbench.api import PromptSet
from tests.bench.measure import Row, alternate, ratio, seconds
from tests.bench.setting import Setting, quiet

PROMPTS, IMAGES = {"cpu": 45, "cuda": 8}, {"cpu": 5, "cuda": 2}


def measure(setting: Setting) -> list[Row]:
    """Measures both runs on a few prompts with a few images each and two rewards."""
    from benchbench.evaluate.report import evaluate

    count, images = PROMPTS[setting.device], IMAGES[setting.device]
    prompts: PromptSet = setting.prompts(count)

    def run(store: object) -> None:
        evaluate(
            setting.folder,
            [],
            prompts,
            [setting.reward, "shapes-colour"],
            store=store,  # type: ignore[arg-type]
            images_per_prompt=images,
            device=setting.device,
            log=quiet,
        )

    with setting.fresh() as warm:
        evaluate(setting.folder, [], setting.prompts(2), ["shapes-colour"], store=warm, images_per_prompt=1, log=quiet)
    stores = [setting.work / f"repeat-{i}" for i in range(setting.rounds)]
    rounds, again = iter(stores), iter(stores)
    times = alternate({"first": lambda: run(next(rounds)), "again": lambda: run(next(again))}, setting.rounds, False)
    return [
        seconds("repeat", f"an evaluation of {count * images} images with two rewards", times["first"]),
        seconds("repeat", "the same again", times["again"]),
        ratio("repeat", "first / again", times["first"], times["again"], 50.0),
    ]

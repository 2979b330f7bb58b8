"""Part `cells`: two trainings at a time on two cores, each a process, against one training on one thread."""

from __future__ import annotations

from benchbench.runtime.cores import cores
from tests.bench.measure import Row, Times, alternate
from tests.bench.setting import Setting

SAMPLES = 128


def measure(setting: Setting) -> list[Row]:
    """Measures trainings in a given time, with their start; returns no rows on a GPU or a single core."""
    if setting.device != "cpu" or cores() < 2:
        return []
    from benchbench.runtime.jobs import Job, LocalBackend, run

    count = iter(range(1000))

    def job() -> Job:
        n = next(count)
        command = ["benchbench", "train", "--method", "tailorpo", "--model", "shapes", "--samples", str(SAMPLES)]
        command += ["--set", "train.eval_every=0", "--seed", str(n), "--out", str(setting.work / f"cell-{n}")]
        return Job(f"cell {n}", tuple(command), setting.work / f"cell-{n}.log")

    # with half the cores reserved for another job, a training takes one thread
    times = alternate(
        {
            "one": lambda: run([job()], LocalBackend(cores()), "one cell"),
            "two": lambda: run([job(), job()], LocalBackend(cores()), "two cells"),
        },
        2,
    )
    one, two = times["one"], times["two"]
    gain = Times([2 * a / b for a, b in zip(one.wall, two.wall, strict=True)])
    return [
        Row("cells", f"one cell of {SAMPLES} images on one thread", "s", tuple(one.wall), tuple(one.cpu)),
        Row("cells", "two cells at a time", "s", tuple(two.wall), tuple(two.cpu)),
        Row("cells", "cells in a given time, two at a time / one", "x", tuple(gain.wall), least=1.7),
    ]

"""Part `cells`: two trainings at a time on two cores, each a process.

First as a sweep starts them, with one thread each, against one training on one thread. Then as two commands start them
that do not know of each other, each with the threads of all cores: threads that wait briefly against threads that spin.
"""

from __future__ import annotations

from itertools import count

from benchbench.runtime.cores import cores
from tests.bench.measure import Row, Times, alternate
from tests.bench.setting import Setting

SAMPLES, SAMPLES_APART = 128, 16
SPINNING = {"GOMP_SPINCOUNT": "300000"}  # what libgomp does where nobody has said anything


def measure(setting: Setting) -> list[Row]:
    """Measures trainings in a given time, with their start; returns no rows on a GPU or a single core."""
    if setting.device != "cpu" or cores() < 2:
        return []
    from benchbench.runtime.jobs import Job, LocalBackend, run
    from benchbench.runtime.waiting import SPINS

    number = count()

    def job(samples: int, threads: int, environment: dict[str, str]) -> Job:
        n = next(number)
        command = ["benchbench", "train", "--method", "tailorpo", "--model", "shapes", "--samples", str(samples)]
        command += ["--set", "train.eval_every=0", "--seed", str(n), "--out", str(setting.work / f"cell-{n}")]
        log = setting.work / f"cell-{n}.log"
        return Job(f"cell {n}", tuple(command), log, threads=threads, environment=environment)

    def cell() -> Job:
        return job(SAMPLES, 1, {})

    def apart(spins: dict[str, str]) -> object:
        jobs = [job(SAMPLES_APART, cores(), spins) for _ in range(2)]
        return run(jobs, LocalBackend(cores()), "two commands")

    times = alternate(
        {
            "one": lambda: run([cell()], LocalBackend(cores()), "one cell"),
            "two": lambda: run([cell(), cell()], LocalBackend(cores()), "two cells"),
            "brief": lambda: apart({"GOMP_SPINCOUNT": SPINS}),
            "spinning": lambda: apart(SPINNING),
        },
        2,
    )
    one, two = times["one"], times["two"]
    gain = Times([2 * a / b for a, b in zip(one.wall, two.wall, strict=True)])
    brief, spinning = times["brief"], times["spinning"]
    spared = Times([a / b for a, b in zip(spinning.wall, brief.wall, strict=True)])
    commands = f"two commands of {SAMPLES_APART} images with all threads each"
    return [
        Row("cells", f"one cell of {SAMPLES} images on one thread", "s", tuple(one.wall), tuple(one.cpu)),
        Row("cells", "two cells at a time", "s", tuple(two.wall), tuple(two.cpu)),
        Row("cells", "cells in a given time, two at a time / one", "x", tuple(gain.wall), least=1.7),
        Row("cells", f"{commands}, which spin while they wait", "s", tuple(spinning.wall), tuple(spinning.cpu)),
        Row("cells", f"{commands}, which wait briefly", "s", tuple(brief.wall), tuple(brief.cpu)),
        Row("cells", "two commands, spinning / waiting briefly", "x", tuple(spared.wall), least=1.2),
    ]

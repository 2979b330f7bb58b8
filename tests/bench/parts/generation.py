"""Part `generate`: generation against the loop that people write."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench.baseline_process import BaselineProcess
from tests.bench.measure import Row, alternate, ratio, seconds
from tests.bench.setting import SAMPLER, Setting, quiet

IMAGES = {"cpu": 64, "cuda": 32}


def measure(setting: Setting) -> list[Row]:
    """Measures PNG files by the pipeline against images in our store, with the weights in memory already."""
    gpu, images = setting.device == "cuda", IMAGES[setting.device]
    ours = generator(setting, compiled=gpu, channels_last=gpu)

    def run_ours(count: int) -> None:
        with setting.fresh() as store:
            ours(store, count)

    batches = (1, 8, 64) if setting.device == "cpu" else (1, 8, 16, 32)
    run_ours(images if gpu else min(8, images))  # compiled for the batches that are timed
    with BaselineProcess(sys.modules[__name__], setting, images, batches) as process:
        times = alternate(process.cases() | {"ours": lambda: run_ours(images)}, setting.rounds)
    bars = {1: 5.0, 8: 1.5, 64: 1.0} if setting.device == "cpu" else {1: 3.0}
    rows = [seconds("generate", f"{images} images, {name}", case_times) for name, case_times in times.items()]
    rows += [ratio("generate", f"{b} a call / ours", times[f"{b} a call"], times["ours"], bars.get(b)) for b in batches]
    if gpu:
        best = min(batches, key=lambda b: min(times[f"{b} a call"].wall))
        rows.append(ratio("generate", f"best batch ({best}) / ours", times[f"{best} a call"], times["ours"], 1.3))
        rows += _peak(setting, times["ours"].wall)
    return rows


def baselines(setting: Setting, images: int, batches: Sequence[int]) -> dict[str, Callable[[], None]]:
    """Returns the pipeline's cases at several batch sizes, after a run of each to warm up."""
    from tests.bench.baselines import generate_and_score as plain

    pipe = plain.load_pipeline(setting.root, setting.device, setting.torch_dtype())

    def make(batch: int, count: int) -> None:
        with setting.fresh() as out:
            plain.generate(pipe, setting.texts[:count], out, batch)

    for batch in batches:
        make(batch, min(batch, 8))
    return {f"{batch} a call": partial(make, batch, images) for batch in batches}


def generator(setting: Setting, steps: int = SAMPLER["steps"], **options: bool) -> Any:  # type: ignore[assignment]
    """Returns a function of (store, images, batch) that generates into a store and keeps the weights between calls."""
    from benchbench.evaluate.generate import generate
    from benchbench.evaluate.lazy_model import LazyModel

    sampler = SAMPLER | {"steps": steps}
    model = LazyModel(setting.folder, sampler, setting.device, setting.dtype, lambda _: None, **options)

    def make(store: Path, count: int, batch: int | None = None) -> Any:
        from benchbench.hub import layout

        return generate(
            model.with_adapter("base", None),
            setting.prompts(count),
            sampler=sampler,
            dtype=setting.dtype,
            images_per_prompt=1,
            eval_seeds=[0],
            store=store,
            batch_size=batch or layout.batch_size(setting.root),
            made_on={},
            log=quiet,
        )

    make.model = model  # type: ignore[attr-defined]
    return make


def _peak(setting: Setting, walls: list[float]) -> list[Row]:
    """Returns the share of the measured matrix product speed that is reached; an SD 1.5 image takes 34.6 TFLOP."""
    if setting.model != "sd15":
        return []
    import time

    import torch

    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    for _ in range(5):
        a @ a
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(50):
        a @ a
    torch.cuda.synchronize()
    peak = 50 * 2 * 8192**3 / (time.perf_counter() - start) / 1e12
    shares = tuple(100 * IMAGES["cuda"] * 34.6 / wall / peak for wall in walls)
    return [Row("generate", f"share of the measured peak of {peak:.0f} TFLOP/s", "%", shares, least=45.0)]

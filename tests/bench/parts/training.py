"""(b) A training iteration of each online method against a straightforward one of the same shapes and precision."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from benchbench.rewards import lookup
from tests.bench.apart import Apart
from tests.bench.measure import Row, alternate, ratio, seconds
from tests.bench.setting import Setting, quiet

BATCH = {"cpu": 16, "cuda": 8}
METHODS = {"cpu": ("ddpo", "d3po", "spo", "tailorpo", "tailorpo-g"), "cuda": ("tailorpo", "d3po", "spo")}


def measure(setting: Setting) -> list[Row]:
    """Both sides of every method, one after the other."""
    rows = []
    for method in METHODS[setting.device]:
        own, _ = trainer(setting, method)
        own()
        with Apart(sys.modules[__name__], setting, method, BATCH[setting.device]) as others:
            times = alternate(others.cases() | {"ours": own}, setting.rounds)
        rows += [seconds("train", f"{method}, {name}", found) for name, found in times.items()]
        bar = {"cpu": 1.35, "cuda": 1.6}[setting.device] if method == "tailorpo" else None
        rows.append(ratio("train", f"{method}, straightforward / ours", times["straightforward"], times["ours"], bar))
    return rows


def baselines(setting: Setting, method: str, batch: int) -> dict[str, Callable[[], None]]:
    """The straightforward implementation, which has run once."""
    run = theirs(setting, method, batch)
    run()
    return {"straightforward": run}


def judge(setting: Setting, method: str) -> str:
    """SPO is judged by its own kind of model."""
    return "shapes-spm" if method == "spo" else setting.reward


def trainer(setting: Setting, method: str, *overrides: str) -> tuple[Callable[[], Any], Any]:
    """One rollout with its optimiser steps, as ``bench train`` makes them; and the Trainer that it belongs to."""
    import torch

    from benchbench.config import load
    from benchbench.train.inputs import look_up
    from benchbench.train.resolved import Resolved
    from benchbench.train.setup import build
    from benchbench.train.trainer import Trainer

    batch = BATCH[setting.device]
    words = [f"train.batch={batch}", "train.eval_every=0", f"train.dtype={setting.dtype}"]
    if method == "spo":
        words.append("method.threshold=0")  # as the baseline: every pair counts, so that both learn from as many
    else:
        words.append("method.steps=[20, 16, 12, 8, 4]")
    if setting.device == "cuda":
        words += ["train.micro_batch=16", "train.channels_last=true"]  # compiling would take a minute a method
    if method in {"ddpo", "d3po"}:
        words.append(f"method.minibatch={batch}")
    config = load(
        method,
        setting.folder,
        judge(setting, method),
        "shapes-simple",
        10_000_000 // batch * batch,
        0,
        "shapes",
        [*words, *overrides],
    )
    out = setting.work / f"run-{method}"
    out.mkdir(exist_ok=True)
    device = torch.device(setting.device)
    resolved = Resolved(setting.dtype, "fp32", config.train.micro_batch)  # counting the memory would take its time
    found = Trainer(config, resolved, build(config, look_up(config), resolved, device, quiet), out, quiet)
    return found._rollout, found


def theirs(setting: Setting, method: str, batch: int) -> Callable[[], None]:
    """The same with the straightforward implementation: the same prompts, reward, steps and batch."""
    from tests.bench.baselines import sampler

    model = sampler.load(setting.root, setting.device, setting.torch_dtype(), reference=method != "ddpo")
    reward = lookup.get(judge(setting, method))(setting.device)
    baseline = import_module(f"tests.bench.baselines.{method.removesuffix('-g')}")
    score = reward.score_at if method == "spo" else reward.score_differentiable
    count = batch // (2 if method == "d3po" else 1)
    texts = setting.texts[:count]
    options = {"guidance": True} if method == "tailorpo-g" else {}
    return lambda: baseline.iteration(model, texts, score, **options)

"""Part `train`: an iteration of each online method against a straightforward one of equal shapes and precision."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from benchbench.rewards import lookup
from tests.bench.baseline_process import BaselineProcess
from tests.bench.measure import Row, alternate, ratio, seconds
from tests.bench.setting import Setting, quiet

BATCH = {"cpu": 16, "cuda": 8}
METHODS = {"cpu": ("ddpo", "d3po", "spo", "tailorpo", "tailorpo-g"), "cuda": ("tailorpo", "d3po", "spo")}


def measure(setting: Setting) -> list[Row]:
    """Measures both sides of each method."""
    rows = []
    for method in METHODS[setting.device]:
        run_ours, _ = trainer(setting, method)
        run_ours()
        with BaselineProcess(sys.modules[__name__], setting, method, BATCH[setting.device]) as process:
            times = alternate(process.cases() | {"ours": run_ours}, setting.rounds)
        rows += [seconds("train", f"{method}, {name}", case_times) for name, case_times in times.items()]
        bar = {"cpu": 1.35, "cuda": 1.6}[setting.device] if method == "tailorpo" else None
        rows.append(ratio("train", f"{method}, straightforward / ours", times["straightforward"], times["ours"], bar))
    return rows


def baselines(setting: Setting, method: str, batch: int) -> dict[str, Callable[[], None]]:
    """Returns the case of the straightforward implementation, after a run to warm up."""
    run = straightforward(setting, method, batch)
    run()
    return {"straightforward": run}


def reward_name(setting: Setting, method: str) -> str:
    """Returns the name of the reward; SPO needs a step-aware one."""
    return "shapes-spm" if method == "spo" else setting.reward


def trainer(setting: Setting, method: str, *overrides: str) -> tuple[Callable[[], Any], Any]:
    """Returns a function that runs a rollout with its optimizer steps as ``bench train`` does, and its Trainer."""
    import torch

    from benchbench.config import load
    from benchbench.train.inputs import look_up
    from benchbench.train.resolved import Resolved
    from benchbench.train.setup import build
    from benchbench.train.trainer import Trainer

    batch = BATCH[setting.device]
    settings = [f"train.batch={batch}", "train.eval_every=0", f"train.dtype={setting.dtype}"]
    if method == "spo":
        settings.append("method.threshold=0")  # every pair counts, so that both sides learn from as many
    else:
        settings.append("method.steps=[20, 16, 12, 8, 4]")
    if setting.device == "cuda":
        settings += ["train.micro_batch=16", "train.channels_last=true"]  # compiling would take a minute a method
    if method in {"ddpo", "d3po"}:
        settings.append(f"method.minibatch={batch}")
    config = load(
        method,
        setting.folder,
        reward_name(setting, method),
        "shapes-simple",
        10_000_000 // batch * batch,
        0,
        "shapes",
        [*settings, *overrides],
    )
    out = setting.work / f"run-{method}"
    out.mkdir(exist_ok=True)
    device = torch.device(setting.device)
    resolved = Resolved(setting.dtype, "fp32", config.train.micro_batch)  # no memory plan, which would take time
    run = Trainer(config, resolved, build(config, look_up(config), resolved, device, quiet), out, quiet)
    return run._rollout, run


def straightforward(setting: Setting, method: str, batch: int) -> Callable[[], None]:
    """Returns the straightforward iteration with the same prompts, reward, steps and batch."""
    from tests.bench.baselines import sampler

    model = sampler.load(setting.root, setting.device, setting.torch_dtype(), reference=method != "ddpo")
    reward = lookup.get(reward_name(setting, method))(setting.device)
    baseline = import_module(f"tests.bench.baselines.{method.removesuffix('-g')}")
    score = reward.score_at if method == "spo" else reward.score_differentiable
    count = batch // (2 if method == "d3po" else 1)
    texts = setting.texts[:count]
    options = {"guidance": True} if method == "tailorpo-g" else {}
    return lambda: baseline.iteration(model, texts, score, **options)

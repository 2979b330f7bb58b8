"""Step 10: compares iterations of TailorPO and D3PO with straightforward ones, with a learned reward."""

from __future__ import annotations

import statistics
from importlib import import_module
from typing import Any

from benchbench.rewards import lookup
from tests.bench.baselines import sampler
from tests.gpu import models, rewards, runs
from tests.gpu.context import PartResult, StepContext

IMAGES = 8
METHODS = ("tailorpo", "d3po")
LEAST = {"tailorpo": 1.6}
ROUNDS = 2
FAST = ("train.channels_last=true", "train.compile=true")


def run(context: StepContext) -> None:
    """Runs both methods without compiling, then TailorPO compiled."""
    baseline: dict[str, float] = {}
    for method in METHODS:
        with context.part(method) as result:
            compare(context, method, result, baseline)
    with context.part("tailorpo, compiled") as result:
        compiled(context, result, baseline)


def compare(context: StepContext, method: str, result: PartResult, baseline: dict[str, float]) -> None:
    """Notes medians of alternating rounds, after one round of each to warm up."""
    trainer = runs.trainer(context, method, *runs.small_settings(method, images(context)), dtype=dtype(context))
    baseline_iteration = straightforward(context, method)
    try:
        context.seconds(trainer._rollout)
        context.seconds(baseline_iteration)
        times: dict[str, list[float]] = {"ours": [], "theirs": []}
        for _ in range(ROUNDS):
            times["theirs"].append(context.seconds(baseline_iteration))
            times["ours"].append(context.seconds(trainer._rollout))
    finally:
        runs.close(trainer)
    seconds = {name: statistics.median(values) for name, values in times.items()}
    baseline[method] = seconds["theirs"]
    ratio = seconds["theirs"] / seconds["ours"]
    result.update(seconds | {"straightforward_over_ours": ratio, "micro_batch": trainer.micro_batch})
    if context.cuda and method in LEAST:
        result.check(f"{ratio:.2f} times as fast as the straightforward one, wanted {LEAST[method]}", ratio >= 1.6)


def compiled(context: StepContext, result: PartResult, baseline: dict[str, float]) -> None:
    """Measures ours with ``train.compile`` and ``train.channels_last``; the first rollout compiles."""
    fast = FAST if context.cuda else FAST[:1]
    trainer = runs.trainer(
        context, "tailorpo", *runs.small_settings("tailorpo", images(context)), *fast, dtype=dtype(context)
    )
    try:
        result["first_seconds"] = context.seconds(trainer._rollout)
        our_seconds = statistics.median(context.seconds(trainer._rollout) for _ in range(ROUNDS))
    finally:
        runs.close(trainer)
    result["ours"] = our_seconds
    if "tailorpo" in baseline:
        result["straightforward_over_ours"] = baseline["tailorpo"] / our_seconds


def images(context: StepContext) -> int:
    """Returns the images of one rollout, the same on both sides."""
    return 2 if context.tiny else IMAGES


def dtype(context: StepContext) -> str:
    """Returns the precision of both sides."""
    return "bf16" if context.cuda else "fp32"


def straightforward(context: StepContext, method: str) -> Any:
    """Returns an iteration of tests/bench/baselines on its own networks, with the same prompts, reward and steps."""
    from benchbench import prompts

    backbone = models.loaded(context, "sd15", dtype(context))
    model = sampler.make_model(
        backbone.network,
        backbone.vae,
        backbone.text_encoder,
        backbone.tokenizer,
        backbone.scheduler_config,
        context.device,
        reference=True,
    )
    with rewards.random_weights(context):
        score = lookup.get(runs.reward_name(method))(context.device).score_differentiable
    count = images(context) // (2 if method == "d3po" else 1)
    texts = list(prompts.load("animals").prompts[:count])
    step = import_module(f"tests.bench.baselines.{method}").iteration
    return lambda: step(model, texts, score)

"""Step 10: iterations of TailorPO and D3PO, benchbench's against straightforward ones, with a learned reward."""

from __future__ import annotations

import statistics
from importlib import import_module
from typing import Any

from benchbench.rewards import lookup
from tests.bench.baselines import sampler
from tests.gpu import models, rewards, runs
from tests.gpu.here import Found, Here

IMAGES = 8
METHODS = ("tailorpo", "d3po")
LEAST = {"tailorpo": 1.6}
ROUNDS = 2
FAST = ("train.channels_last=true", "train.compile=true")


def run(here: Here) -> None:
    """Both methods without compiling, then TailorPO compiled."""
    baseline: dict[str, float] = {}
    for method in METHODS:
        with here.part(method) as found:
            compare(here, method, found, baseline)
    with here.part("tailorpo, compiled") as found:
        compiled(here, found, baseline)


def compare(here: Here, method: str, found: Found, baseline: dict[str, float]) -> None:
    """Medians of alternating rounds after one of each to warm up."""
    made = runs.trainer(here, method, *runs.words(method, images(here)), dtype=dtype(here))
    theirs = straightforward(here, method)
    try:
        here.seconds(made._rollout)
        here.seconds(theirs)
        times: dict[str, list[float]] = {"ours": [], "theirs": []}
        for _ in range(ROUNDS):
            times["theirs"].append(here.seconds(theirs))
            times["ours"].append(here.seconds(made._rollout))
    finally:
        runs.close(made)
    seconds = {name: statistics.median(values) for name, values in times.items()}
    baseline[method] = seconds["theirs"]
    ratio = seconds["theirs"] / seconds["ours"]
    found.update(seconds | {"straightforward_over_ours": ratio, "micro_batch": made.micro_batch})
    if here.cuda and method in LEAST:
        found.check(f"{ratio:.2f} times as fast as the straightforward one, wanted {LEAST[method]}", ratio >= 1.6)


def compiled(here: Here, found: Found, baseline: dict[str, float]) -> None:
    """Times ours with ``train.compile`` and ``train.channels_last``; the first rollout compiles."""
    fast = FAST if here.cuda else FAST[:1]
    made = runs.trainer(here, "tailorpo", *runs.words("tailorpo", images(here)), *fast, dtype=dtype(here))
    try:
        found["first_seconds"] = here.seconds(made._rollout)
        ours = statistics.median(here.seconds(made._rollout) for _ in range(ROUNDS))
    finally:
        runs.close(made)
    found["ours"] = ours
    if "tailorpo" in baseline:
        found["straightforward_over_ours"] = baseline["tailorpo"] / ours


def images(here: Here) -> int:
    """Returns the images of one rollout, the same on both sides."""
    return 2 if here.tiny else IMAGES


def dtype(here: Here) -> str:
    """The precision of both sides."""
    return "bf16" if here.cuda else "fp32"


def straightforward(here: Here, method: str) -> Any:
    """One iteration of tests/bench/baselines on networks of its own, with the same prompts, reward and steps."""
    from benchbench import prompts

    backbone = models.loaded(here, "sd15", dtype(here))
    model = sampler.made(
        backbone.network,
        backbone.vae,
        backbone.text_encoder,
        backbone.tokenizer,
        backbone.scheduler_config,
        here.device,
        reference=True,
    )
    with rewards.random_weights(here):
        score = lookup.get(runs.judge(method))(here.device).score_differentiable
    count = images(here) // (2 if method == "d3po" else 1)
    texts = list(prompts.load("animals").prompts[:count])
    step = import_module(f"tests.bench.baselines.{method}").iteration
    return lambda: step(model, texts, score)

"""Calls a method, and checks everything that it returns, before a number of it can reach the weights.

Whatever a method raises becomes an error of three lines that names the method and the call. Nothing here reads a value
of a tensor on a GPU: a loss that is NaN or infinite is found where the optimizer step reads it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchbench.api import Method
from benchbench.diffusion.policy import Policy
from benchbench.errors import RunError
from benchbench.noise import Noise
from benchbench.runtime.raised_at import explained
from benchbench.types import Batch, Metrics


def batches(
    method: Method[Any], collect: Callable[[], Iterator[tuple[Batch, Metrics]]]
) -> Iterator[tuple[Batch, Metrics]]:
    """Yields what a call of ``collect`` yields, each Batch with its metrics. Raises RunError."""
    with explained("method", method, "in collect()"):
        items = collect()
    while True:
        with explained("method", method, "in collect()"):
            item = next(items, None)
        if item is None:
            return
        if not isinstance(item, tuple) or len(item) != 2 or not isinstance(item[0], Batch):
            raise _wrong(method, f"collect() gave {_kind(item)}", "it has to yield (Batch, metrics)")
        if not len(item[0]):
            raise _wrong(method, "collect() gave a Batch without rows", "an optimizer step needs at least one row")
        _check_metrics(method, "collect", item[1])
        yield item


def create(method_class: type[Method[Any]]) -> Method[Any]:
    """Returns an instance of a method. Raises RunError."""
    with explained("method", method_class, "in __init__()"):
        return method_class()


def state(method: Method[Any]) -> dict[str, Any]:
    """Returns a method's running statistics, which a checkpoint keeps as JSON. Raises RunError."""
    with explained("method", method, "in state()"):
        found = method.state()
        json.dumps(found, allow_nan=False)
    if not isinstance(found, dict):
        raise _wrong(method, f"state() gave {_kind(found)}", "it has to return a dict that JSON can hold")
    return found


def load_state(method: Method[Any], saved: dict[str, Any]) -> None:
    """Gives a method the statistics of its checkpoint. Raises RunError."""
    with explained("method", method, "in load_state()"):
        method.load_state(saved)


def old_decay(method: Method[Any], cfg: Any, updates: int) -> float:
    """Returns the decay of the old policy's weights after a rollout. Raises RunError."""
    with explained("method", method, "in old_decay()"):
        decay = float(method.old_decay(cfg, updates))
    if not 0 <= decay <= 1:
        raise _wrong(method, f"old_decay() gave {decay:g}", "it has to be a number from 0 to 1")
    return decay


def hint(method: Method[Any]) -> str:
    """Returns the remedy's words for a plug-in, which may be at fault itself; empty for a method of this repository."""
    ours = type(method).__module__.startswith("benchbench.methods.")
    return "" if ours else f"; to test the method itself: bench check {method.name}"


def loss(method: Method[Any], policy: Policy, batch: Any, cfg: Any, noise: Noise) -> tuple[Tensor, Metrics]:
    """Returns the mean loss over the rows of ``batch``, a scalar, and its metrics. Raises RunError."""
    with explained("method", method, "in loss()"):
        result = method.loss(policy, batch, cfg, noise)
    needed = "it has to return (loss, metrics), where the loss is a scalar tensor: the mean over the rows"
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[0], Tensor):
        raise _wrong(method, f"loss() gave {_kind(result)}", needed)
    value, metrics = result
    if value.shape != ():
        raise _wrong(method, f"loss() gave a loss of shape {list(value.shape)} for {len(batch)} rows", needed)
    if torch.is_grad_enabled() and not value.requires_grad:
        raise _wrong(
            method,
            "loss() gave a loss without a gradient",
            "nothing would be learned from it; was it computed under no_grad, or with detach()?",
        )
    _check_metrics(method, "loss", metrics)
    return value, metrics


def _check_metrics(method: Method[Any], call: str, metrics: Any) -> None:
    if not isinstance(metrics, Mapping):
        raise _wrong(method, f"{call}() gave metrics that are {_kind(metrics)}", "they have to be a dict of numbers")
    for name, value in metrics.items():
        number = value.numel() == 1 if isinstance(value, Tensor) else isinstance(value, int | float | np.number)
        if not number:
            shape = f" of shape {list(value.shape)}" if isinstance(value, Tensor) else ""
            raise _wrong(method, f"{call}() gave the metric {name!r} as {_kind(value)}{shape}", "it has to be a number")


def _kind(value: Any) -> str:
    if isinstance(value, tuple):
        return f"a tuple ({', '.join(type(part).__name__ for part in value)})"
    return f"the type {type(value).__name__}"


def _wrong(method: Method[Any], problem: str, cause: str) -> RunError:
    return RunError(f"method {method.name} is wrong: {problem}", cause, f"bench check {method.name}")

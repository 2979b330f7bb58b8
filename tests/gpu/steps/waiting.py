"""Step 2: no denoising loop waits for the device, in any online method with a learned reward of real size.

The first rollout counts how often the method asks the policy and the judge. In the second one PyTorch refuses every
operation that waits, up to the last of these calls: what a method reads after its walk is over is its own business.
"""

from __future__ import annotations

import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch

from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.policy import Policy
from benchbench.noise import Noise, Sample
from benchbench.train.trainer import Trainer
from tests.gpu import runs
from tests.gpu.here import Found, Here
from tests.waiting import Reads

IMAGES = 2


def run(here: Here) -> None:
    """A part a method."""
    for method in runs.ONLINE:
        with here.part(method) as found:
            made = runs.trainer(here, method, *runs.words(method, IMAGES), dtype="bf16" if here.cuda else "fp32")
            try:
                look(here, made, found)
            finally:
                runs.close(made)


def look(here: Here, made: Trainer, found: Found) -> None:
    """Two rollouts to warm up, the second of which counts; one in which waiting is an error; if it was, all places."""
    rollout(made, 0)
    with calls(lambda _: None) as counted:
        rollout(made, 1)
    found["calls"] = counted["calls"]
    found["places"] = places(here, made, counted["calls"])
    found.check("the walk waits for the device", not found["places"])


def rollout(made: Trainer, number: int) -> None:
    """Collects the method's first batch."""
    prompts, per = made.parts.prompts.prompts, made.parts.method.images(made.parts.cfg)
    samples = [Sample(prompts[i], number * IMAGES + i, i) for i in range(IMAGES // per)]
    with torch.no_grad():
        next(made.collect(made.parts.policy, samples, made.parts.reward, made.parts.cfg, Noise(0, "train")))


@contextmanager
def calls(after: Callable[[int], None]) -> Iterator[Counter[str]]:
    """Counts the walk's calls of the policy's step and of the judge; ``after`` is told the number of each at its end.

    A walk asks for one step index; what asks for an index a row belongs to an update.
    """
    count: Counter[str] = Counter()
    judge = StepReward.__call__

    def counting(plain: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            out = plain(*arguments, **options)
            if plain is judge or isinstance(arguments[2], int):
                count["calls"] += 1
                after(count["calls"])
            return out

        return call

    with (
        mock.patch.object(Policy, "step", counting(Policy.step)),
        mock.patch.object(StepReward, "__call__", counting(judge)),
    ):
        yield count


def places(here: Here, made: Trainer, last: int) -> list[str]:
    """Returns where the walk waits, as file and line or operation; empty where it does not."""
    if not here.cuda:
        with Reads() as reads:
            seen: list[str] = []
            with calls(lambda n: seen.extend(reads.found) if n == last else None):
                rollout(made, 2)
        return seen
    try:
        torch.cuda.set_sync_debug_mode("error")
        with calls(lambda n: torch.cuda.set_sync_debug_mode("default") if n == last else None):
            rollout(made, 2)
        return []
    except RuntimeError as error:
        first = traceback.extract_tb(error.__traceback__)[-1]
        torch.cuda.set_sync_debug_mode("default")
        return [f"{first.filename}:{first.lineno} {str(error).splitlines()[0]}", *_every(made, last)]
    finally:
        torch.cuda.set_sync_debug_mode("default")


def _every(made: Trainer, last: int) -> list[str]:
    """All the lines of the walk that wait, from PyTorch's warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        with calls(lambda n: torch.cuda.set_sync_debug_mode("default") if n == last else None):
            rollout(made, 3)
    return sorted({f"{w.filename}:{w.lineno}" for w in caught if "synchroniz" in str(w.message)})

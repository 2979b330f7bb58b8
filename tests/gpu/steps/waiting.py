"""Step 2: checks that no online method's denoising loop waits for the device, with a learned reward of real size.

The first rollout counts the calls of policy and reward. In the second one PyTorch refuses every operation that waits,
up to the last of these calls; after its denoising loop a method may read from the device.
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
from tests.gpu.context import PartResult, StepContext
from tests.waiting import Reads

IMAGES = 2


def run(context: StepContext) -> None:
    """Runs a part for each online method."""
    for method in runs.ONLINE:
        with context.part(method) as result:
            trainer = runs.trainer(
                context, method, *runs.small_settings(method, IMAGES), dtype="bf16" if context.cuda else "fp32"
            )
            try:
                find_waits(context, trainer, result)
            finally:
                runs.close(trainer)


def find_waits(context: StepContext, trainer: Trainer, result: PartResult) -> None:
    """Runs two rollouts, whose second counts calls, and one in which waiting is an error; notes where it waits."""
    rollout(trainer, 0)
    with calls(lambda _: None) as counted:
        rollout(trainer, 1)
    result["calls"] = counted["calls"]
    result["places"] = wait_places(context, trainer, counted["calls"])
    result.check("the walk waits for the device", not result["places"])


def rollout(trainer: Trainer, number: int) -> None:
    """Collects the method's first batch."""
    prompts, per = trainer.parts.prompts.prompts, trainer.parts.method.images(trainer.parts.cfg)
    samples = [Sample(prompts[i], number * IMAGES + i, i) for i in range(IMAGES // per)]
    with torch.no_grad():
        next(
            trainer.collect(
                trainer.parts.policy, samples, trainer.parts.step_reward, trainer.parts.cfg, Noise(0, "train")
            )
        )


@contextmanager
def calls(after: Callable[[int], None]) -> Iterator[Counter[str]]:
    """Counts the denoising loop's calls of the policy's step and of the reward; passes each one's number to ``after``.

    The denoising loop passes one step index for all rows; calls with an index a row belong to an update.
    """
    count: Counter[str] = Counter()
    score = StepReward.__call__

    def counting(plain: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            out = plain(*arguments, **options)
            if plain is score or isinstance(arguments[2], int):
                count["calls"] += 1
                after(count["calls"])
            return out

        return call

    with (
        mock.patch.object(Policy, "step", counting(Policy.step)),
        mock.patch.object(StepReward, "__call__", counting(score)),
    ):
        yield count


def wait_places(context: StepContext, trainer: Trainer, last: int) -> list[str]:
    """Returns where the denoising loop waits, as file and line or operation; empty where it does not."""
    if not context.cuda:
        with Reads() as reads:
            waits: list[str] = []
            with calls(lambda n: waits.extend(reads.found) if n == last else None):
                rollout(trainer, 2)
        return waits
    try:
        torch.cuda.set_sync_debug_mode("error")
        with calls(lambda n: torch.cuda.set_sync_debug_mode("default") if n == last else None):
            rollout(trainer, 2)
        return []
    except RuntimeError as error:
        first = traceback.extract_tb(error.__traceback__)[-1]
        torch.cuda.set_sync_debug_mode("default")
        return [f"{first.filename}:{first.lineno} {str(error).splitlines()[0]}", *_all_waits(trainer, last)]
    finally:
        torch.cuda.set_sync_debug_mode("default")


def _all_waits(trainer: Trainer, last: int) -> list[str]:
    """Returns all lines of the denoising loop that wait, from PyTorch's warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        with calls(lambda n: torch.cuda.set_sync_debug_mode("default") if n == last else None):
            rollout(trainer, 3)
    return sorted({f"{w.filename}:{w.lineno}" for w in caught if "synchroniz" in str(w.message)})

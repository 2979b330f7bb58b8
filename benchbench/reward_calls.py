"""Calls a reward, and checks everything that it returns: a tensor with one number for each image, on the right device.

Whatever a reward raises becomes an error of three lines that names the reward, the first prompt and the number of
images. Nothing here reads a value of a tensor on a GPU, so that the denoising loop never waits: scores are checked for
infinities and NaN by ``require_finite``, where they are read anyway.

Imports torch only inside functions, and the types for type checkers only: the commands that list rewards load neither.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from benchbench.errors import RunError
from benchbench.runtime.quiet import silence_libraries
from benchbench.runtime.raised_at import explained
from benchbench.runtime.words import counted

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from torch import Tensor

    from benchbench.types import PreparedReward, Reward, StepScorer


def load(reward_class: type[Reward], device: torch.device | str) -> Reward:
    """Returns a reward with its weights on the device. Raises RunError for whatever its constructor raises."""
    silence_libraries()
    with explained("reward", reward_class, "when it is loaded"):
        return reward_class(device)


def missing(reward_class: type[Reward]) -> str | None:
    """Returns the description of the files that a reward lacks, or None. Raises RunError for whatever it raises."""
    with explained("reward", reward_class, "when it is asked for its files"):
        return reward_class.missing()


def expect(reward: Reward, prompts: Sequence[str]) -> None:
    """Announces the prompts of later calls."""
    with explained("reward", reward, _of(prompts, len(prompts), "prompt")):
        reward.expect(prompts)


def prepare(reward: PreparedReward, images: Sequence[Image]) -> Tensor:
    """Returns the prepared images, [N, ...] on the host."""
    with explained("reward", reward, f"as it prepared {counted(len(images), 'image')}"):
        prepared = reward.prepare(images)
    return _rows(reward, prepared, len(images), (), one_number=False)


def score(reward: Reward, images: Sequence[Image], prompts: Sequence[str]) -> Tensor:
    """Returns scores for evaluation, float32 [N] on the CPU, of N images."""
    return _evaluated(reward, reward.score, images, prompts)


def score_prepared(reward: PreparedReward, prepared: Tensor, prompts: Sequence[str]) -> Tensor:
    """Returns scores for evaluation, float32 [N] on the CPU, of what ``prepare`` returned."""
    return _evaluated(reward, reward.score_prepared, prepared, prompts)


def score_differentiable(reward: Reward, images: Tensor, prompts: Sequence[str]) -> Tensor:
    """Returns scores for training, float32 [N] on the images' device, with a gradient where the images have one."""
    with explained("reward", reward, _of(prompts, len(images), "image")):
        scores = reward.score_differentiable(images, prompts)
    return _for_training(reward, scores, images, prompts)


def score_at(reward: StepScorer, images: Tensor, prompts: Sequence[str], tau: Tensor) -> Tensor:
    """Returns scores for training of predictions at the timesteps ``tau``, as ``score_differentiable``."""
    with explained("reward", reward, _of(prompts, len(images), "image")):
        scores = reward.score_at(images, prompts, tau)
    return _for_training(reward, scores, images, prompts)


def require_finite(reward: Reward, scores: Tensor, name: Callable[[int], str]) -> None:
    """Raises RunError for a score, [N] on the CPU, that is infinite or NaN; ``name`` describes the image of a row."""
    for row, value in enumerate(scores.tolist()):
        if not math.isfinite(value):
            raise RunError(
                f"reward {reward.name} gave {value}",
                f"for {name(row)}, one of {counted(len(scores), 'image')}",
                f"look at that image, then run: bench check {reward.name}",
            )


def _evaluated(reward: Reward, call: Callable[..., Any], images: Any, prompts: Sequence[str]) -> Tensor:
    with explained("reward", reward, _of(prompts, len(images), "image")):
        scores = call(images, prompts)
    return _rows(reward, scores, len(images), prompts).detach().float().cpu()


def _for_training(reward: Reward, scores: Any, images: Tensor, prompts: Sequence[str]) -> Tensor:
    import torch

    checked = _rows(reward, scores, len(images), prompts).float().to(images.device)
    if images.requires_grad and torch.is_grad_enabled() and not checked.requires_grad:
        raise _wrong(reward, "scores without a gradient", len(images), prompts)
    return checked


def _rows(reward: Reward, result: Any, count: int, prompts: Sequence[str], one_number: bool = True) -> Tensor:
    """Returns the result itself. Raises RunError unless it is a tensor of real numbers with a row for each image."""
    import torch

    if not isinstance(result, torch.Tensor):
        raise _wrong(reward, f"{_article(type(result).__name__)} and not a tensor", count, prompts)
    if result.is_complex():
        raise _wrong(reward, "complex numbers", count, prompts)
    if (result.dim() != 1 and one_number) or not result.dim() or len(result) != count:
        raise _wrong(reward, f"a tensor of shape {list(result.shape)}", count, prompts)
    return result


def _wrong(reward: Reward, given: str, count: int, prompts: Sequence[str]) -> RunError:
    return RunError(
        f"reward {reward.name} is wrong: it gave {given}",
        f"one number for each image is needed, float32 [{count}]; it was called {_of(prompts, count, 'image')}",
        f"bench check {reward.name}",
    )


def _of(prompts: Sequence[str], count: int, row: str) -> str:
    first = f", the first with the prompt {prompts[0]!r}" if len(prompts) and row == "image" else ""
    return f"on {counted(count, row)}{first}"


def _article(word: str) -> str:
    return f"{'an' if word[:1].lower() in 'aeiou' else 'a'} {word}"

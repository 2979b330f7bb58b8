"""Checks of a reward's contract, on three small images. torch is imported only where a check needs it.

A reward that needs metadata is checked on the first three prompts of a set that the user names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from benchbench import registry
from benchbench.contract.base import Check, ContractError, NotRun, expect
from benchbench.prompt_set import Prompt, metadata
from benchbench.types import Reward, StepScorer

PROMPTS = ("a red circle", "a blue square", "a green ring")
SIZE = 32


def checks(name: str, cls: Any, prompts: Sequence[str] = PROMPTS) -> Iterator[Check]:
    """Yields the checks of the reward ``name``, to be run in this order: the first loads what the others score with."""
    prompts = [prompts[row % len(prompts)] for row in range(3)]
    loaded: list[Reward] = []

    def reward() -> Reward:
        if not loaded or registry.missing_attributes("rewards", cls):
            raise NotRun("it needs the class attributes and the weights")
        lacking = [field for field in cls.needs if not all(field in row for row in metadata(prompts))]
        if lacking:
            raise NotRun(f"it needs the metadata {', '.join(lacking)}: name a set that has it with --prompts")
        return loaded[0]

    def check_loading() -> None:
        if not _is_reward(cls):
            raise NotRun("it is not a subclass of Reward")
        missing = cls.missing()
        expect(missing is None, f"it cannot be tried: {missing}")
        loaded.append(cls())

    yield "class attributes", lambda: _check_attributes(name, cls)
    yield "weights are present and load", check_loading
    yield "N images give N scores, whatever the batch and the order", lambda: _check_scores(reward(), prompts)
    yield "no images give no scores", lambda: _check_no_images(reward())
    if _is_reward(cls) and not cls.reads_prompt:
        yield "scores that depend on the image alone, as it declares", lambda: _check_no_prompt(reward(), prompts)
    yield "a gradient, or a TypeError where it has none", lambda: _check_gradient(reward(), prompts)
    if _is_reward(cls) and issubclass(cls, StepScorer):
        yield "one timestep for all rows equals one per row", lambda: _check_timesteps(reward(), prompts)


def _is_reward(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, Reward)


def _check_attributes(name: str, cls: Any) -> None:
    expect(_is_reward(cls), "it is not a subclass of Reward")
    absent = registry.missing_attributes("rewards", cls)
    expect(not absent, f"class attributes are missing: {', '.join(absent)}")
    expect(cls.name == name, f"its name is {cls.name!r}, its entry point's {name!r}")
    expect(cls.range[0] < cls.range[1], f"its range {cls.range} is empty")
    are_names = isinstance(cls.needs, tuple) and all(isinstance(field, str) and field for field in cls.needs)
    expect(are_names, f"needs is {cls.needs!r:.80} and no tuple of names of fields")


def _check_scores(reward: Reward, prompts: Sequence[str]) -> None:
    import torch

    images = _images()
    scores = reward.score(images, prompts)
    expect(
        isinstance(scores, torch.Tensor) and scores.shape == (3,),
        f"3 images should give a tensor [3], not {scores!r:.80}",
    )
    expect(
        scores.dtype == torch.float32 and scores.device.type == "cpu",
        f"scores are {scores.dtype} on {scores.device}, not float32 on the CPU",
    )
    expect(scores.isfinite().all(), f"scores are not finite: {scores.tolist()}")
    single = torch.cat([reward.score([i], [p]) for i, p in zip(images, prompts, strict=True)])
    expect(
        torch.allclose(scores, single, rtol=1e-4, atol=1e-4),
        f"scores depend on the batch: one by one {single.tolist()}, together {scores.tolist()}",
    )
    reversed_scores = reward.score(images[::-1], prompts[::-1]).flip(0)
    expect(torch.allclose(scores, reversed_scores, rtol=1e-4, atol=1e-4), "scores depend on the order of the images")


def _check_no_images(reward: Reward) -> None:
    """N may be 0: a folder may have no images left to score."""
    try:
        shape = tuple(reward.score([], []).shape)
    except Exception as error:  # any exception of a plug-in is a failed check
        raise ContractError(f"score([], []) raises {type(error).__name__}: {error}") from error
    expect(shape == (0,), f"score([], []) gives shape {list(shape)}, not [0]")


def _check_no_prompt(reward: Reward, prompts: Sequence[str]) -> None:
    import torch

    images = _images()
    expect(
        torch.equal(
            reward.score(images, prompts), reward.score(images, [Prompt("", row) for row in metadata(prompts)])
        ),
        "it declares that it reads no prompt, but other prompts give other scores",
    )


def _check_gradient(reward: Reward, prompts: Sequence[str]) -> None:
    import torch

    images = _images()
    pixels = _tensor(images).requires_grad_()
    if not reward.differentiable:
        try:
            reward.score_differentiable(pixels, prompts)
        except TypeError:
            return
        raise ContractError("it declares that it is not differentiable, but score_differentiable raises no TypeError")
    scores = reward.score_differentiable(pixels, prompts)
    expect(scores.shape == (3,), f"score_differentiable gives {tuple(scores.shape)} for 3 images")
    gap = float((scores.detach().cpu() - reward.score(images, prompts)).abs().max())
    expect(
        gap <= 0.02 * (reward.range[1] - reward.range[0]),
        f"score and score_differentiable differ by {gap:.3g}, more than 2 % of the range",
    )
    expect(scores.requires_grad, "the result of score_differentiable has no gradient")
    (gradient,) = torch.autograd.grad(scores[1], pixels)
    expect(gradient.isfinite().all() and gradient[1].abs().sum() > 0, "the gradient is zero or not finite")
    expect(float(gradient[[0, 2]].abs().sum()) == 0, "the gradient of one score reaches another image")


def _check_timesteps(reward: Reward, prompts: Sequence[str]) -> None:
    import torch

    assert isinstance(reward, StepScorer)

    images = _images()
    with torch.no_grad():
        shared = reward.score_at(_tensor(images), prompts, torch.tensor(500))
        per_row = reward.score_at(_tensor(images), prompts, torch.full((3,), 500))
    expect(
        shared.shape == (3,) and torch.allclose(shared, per_row, rtol=1e-4, atol=1e-4),
        "one timestep for all rows gives other scores than the same timestep for each row",
    )


def _images() -> list[Any]:
    """Returns three RGB images with colours, edges and noise."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8) // 4 for _ in range(3)]
    for channel, array in enumerate(arrays):
        array[8:24, 8:24, channel] += 180
    return [Image.fromarray(array) for array in arrays]


def _tensor(images: list[Any]) -> Any:
    """Returns images as float32 [N, 3, H, W] in [0, 1]."""
    import numpy as np
    import torch

    return torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2).float() / 255

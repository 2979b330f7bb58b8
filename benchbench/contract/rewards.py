"""The contract of a reward, tried out on three small pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchbench.contract.base import Broken, Check, need
from benchbench.types import Reward, StepScorer

PROMPTS = ("a red circle", "a blue square", "a green ring")
SIZE = 32


def checks(name: str, cls: Any) -> Iterator[Check]:
    made: list[Reward] = []

    def described() -> None:
        need(isinstance(cls, type) and issubclass(cls, Reward), "it is not a subclass of Reward")
        wanted = ("name", "version", "unit", "range", "differentiable", "weights")
        absent = [word for word in wanted if not hasattr(cls, word)]
        need(not absent, f"class attributes are missing: {', '.join(absent)}")
        need(cls.name == name, f"its name is {cls.name!r}, its entry point's {name!r}")
        need(cls.range[0] < cls.range[1], f"its range {cls.range} is empty")

    def loads() -> None:
        missing = cls.missing()
        need(missing is None, f"cannot be tried: {missing}")
        made.append(cls())

    def scores() -> None:
        import torch

        reward, (images, prompts) = made[0], _pictures()
        r = reward.score(images, prompts)
        need(isinstance(r, torch.Tensor) and r.shape == (3,), f"3 images do not give a tensor [3] but {r!r:.80}")
        need(r.dtype == torch.float32 and r.device.type == "cpu", f"scores are {r.dtype} on {r.device}")
        need(r.isfinite().all(), f"scores are not finite: {r.tolist()}")
        alone = torch.cat([reward.score([i], [p]) for i, p in zip(images, prompts, strict=True)])
        need(torch.allclose(r, alone, rtol=1e-4, atol=1e-4), f"one by one {alone.tolist()}, together {r.tolist()}")
        back = reward.score(images[::-1], prompts[::-1]).flip(0)
        need(torch.allclose(r, back, rtol=1e-4, atol=1e-4), "scores depend on the order of the images")
        need(reward.score([], []).shape == (0,), "no images do not give a tensor [0]")

    def gradient() -> None:
        import torch

        reward, (images, prompts) = made[0], _pictures()
        x = _tensor(images).requires_grad_()
        if not reward.differentiable:
            try:
                reward.score_differentiable(x, prompts)
            except TypeError:
                return
            raise Broken("it says that it is not differentiable, and score_differentiable raises no TypeError")
        r = reward.score_differentiable(x, prompts)
        need(r.shape == (3,), f"3 images give {tuple(r.shape)}")
        gap = float((r.detach().cpu() - reward.score(images, prompts)).abs().max())
        spread = reward.range[1] - reward.range[0]
        need(gap <= 0.02 * spread, f"the two paths differ by {gap:.3g}, more than 2 % of the range")
        need(r.requires_grad, "its result has no gradient")
        (g,) = torch.autograd.grad(r[1], x)
        need(g.isfinite().all() and g[1].abs().sum() > 0, "the gradient is not finite, or zero")
        need(float(g[[0, 2]].abs().sum()) == 0, "the gradient of one score reaches another image")

    def timesteps() -> None:
        import torch

        reward, (images, prompts) = made[0], _pictures()
        assert isinstance(reward, StepScorer)
        with torch.no_grad():
            one = reward.score_at(_tensor(images), prompts, torch.tensor(500))
            each = reward.score_at(_tensor(images), prompts, torch.full((3,), 500))
        need(one.shape == (3,) and torch.allclose(one, each, rtol=1e-4, atol=1e-4), "one tau for all is not one a row")

    yield "class attributes", described
    yield "weights are here and load", loads
    if not made:  # the generator goes on after the check above has run
        return
    yield "N images, N scores, whatever the batch and the order", scores
    yield "gradient, or a TypeError where it has none", gradient
    if isinstance(made[0], StepScorer):
        yield "a timestep for all is a timestep for each", timesteps


def _pictures() -> tuple[list[Any], list[str]]:
    """Three pictures with colours, edges and noise, and their prompts."""
    import numpy as np
    from PIL import Image

    draw = np.random.default_rng(0)
    arrays = [draw.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8) // 4 for _ in PROMPTS]
    for i, array in enumerate(arrays):
        array[8:24, 8:24, i] += 180
    return [Image.fromarray(array) for array in arrays], list(PROMPTS)


def _tensor(images: list[Any]) -> Any:
    import numpy as np
    import torch

    return torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2).float() / 255

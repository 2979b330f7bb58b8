"""Tensors that do not change, kept where they are needed, so that no score copies them to the device again."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchbench.api import hand_over


def constant(make: Callable[..., Tensor], *sizes: Any, like: Tensor) -> Tensor:
    """``make(*sizes)`` on the device of ``like``, made at the first call and kept for the next ones.

    ``make`` returns a tensor on the CPU. A fake tensor, which has a shape and no values, belongs to one FakeTensorMode
    and must not be met in another one or outside of it, so the mode of ``like`` is part of what a constant is kept by.
    """
    return _made(make, sizes, like.device, getattr(like, "fake_mode", None))


@functools.lru_cache(maxsize=64)
def _made(make: Callable[..., Tensor], sizes: tuple[Any, ...], device: torch.device, _mode: Any) -> Tensor:
    return hand_over(make(*sizes), device)

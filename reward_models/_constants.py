"""Constant tensors, cached on each device, so that scoring does not copy them to the device again."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchbench.api import copy_to_device


def constant(make: Callable[..., Tensor], *sizes: Any, like: Tensor) -> Tensor:
    """Returns ``make(*sizes)`` on the device of ``like``, computed at the first call and then cached.

    ``make`` returns a tensor on the CPU. A fake tensor, which has a shape and no values, belongs to one FakeTensorMode
    and cannot be used outside of it, so the mode of ``like`` is part of the cache key.
    """
    return _cached(make, sizes, like.device, getattr(like, "fake_mode", None))


@functools.lru_cache(maxsize=64)
def _cached(make: Callable[..., Tensor], sizes: tuple[Any, ...], device: torch.device, _mode: Any) -> Tensor:
    return copy_to_device(make(*sizes), device)

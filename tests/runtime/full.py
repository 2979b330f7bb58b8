"""Memory that is full on purpose: functions that have room for a few rows and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

CPU = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate"


def no_room() -> torch.OutOfMemoryError:
    """Returns the error that PyTorch raises on a GPU."""
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")


def room_for(
    most: int, owner: Any, name: str, monkeypatch: pytest.MonkeyPatch, count: Callable[..., int] = lambda *a: len(a[0])
) -> list[int]:
    """``owner.name`` runs out of memory for more than ``most`` rows; the rows of each of its calls, failed or not.

    ``count`` tells the number of rows from the arguments.
    """
    plain, tried = getattr(owner, name), list[int]()

    def run(*arguments: Any, **options: Any) -> Any:
        tried.append(count(*arguments))
        if tried[-1] > most:
            raise no_room()
        return plain(*arguments, **options)

    monkeypatch.setattr(owner, name, run)
    return tried

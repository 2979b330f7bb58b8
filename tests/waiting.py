"""Notices what makes a GPU wait: values that the host reads, and copies from memory that is not pinned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode

# What has to know values before it can go on: .item(), bool() and float(), and results whose size is in the data.
READS = {"_local_scalar_dense", "nonzero", "masked_select", "unique", "_unique2", "equal", "is_nonzero"}


class Reads(TorchDispatchMode):
    """Notes each read of a tensor's value: on a GPU it would wait for all work that was launched."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in READS or (name == "index" and _by_mask(args)):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


class Waits(TorchDispatchMode):
    """Notes what would make the host wait: values that are read, and copies to or from the device.

    A copy with ``non_blocking`` is let pass: only ``copy_to_device`` uses it, and it pins what it copies. A value
    that is read is zero, and no rows where rows are counted. Enter it after a FakeTensorMode.
    """

    def __init__(self, device: str = "cuda") -> None:
        super().__init__()
        self.device, self.found = device, list[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = func.overloadpacket.__name__, kwargs or {}
        places = {value.device.type for value in _tensors(args) if value.dim() > 0 or value.device.type == self.device}
        if name in READS or (name == "index" and _by_mask(args)):
            if self.device in places:
                self.found.append(name)
            if name == "_local_scalar_dense" and (self.device in places or isinstance(args[0], FakeTensor)):
                return 0.0 if args[0].is_floating_point() else 0
            if name == "nonzero" and self.device in places:
                return args[0].new_zeros((0, args[0].dim()), dtype=torch.int64)
        elif not kwargs.get("non_blocking"):
            target = kwargs.get("device")
            if target is not None and name == "_to_copy":
                places = places | {torch.device(target).type}
            if len(places) > 1:
                self.found.append(f"{name} between host and device")
                if target is not None and torch.device(target).type == "cpu" and not isinstance(args[0], FakeTensor):
                    return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        return func(*args, **kwargs)


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _by_mask(args: Any) -> bool:
    return any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])

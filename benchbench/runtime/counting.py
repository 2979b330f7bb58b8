"""Counts what a block of code asks of a device: live memory, kernels, bytes, copies and value reads."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

BLOCK = 512  # bytes: PyTorch's CUDA allocator gives out memory in multiples of it
DEVICE_OF: Any = torch.ops.prim.device.default  # PyTorch asks each fake tensor several times an operation
READS = {"_local_scalar_dense", "nonzero", "masked_select", "unique", "equal", "is_nonzero"}
"""Operations that read values: on a GPU each of them waits for all work that was launched before."""


class LiveMemory(TorchDispatchMode):
    """Bytes of the storages that are alive on a device, and their peak; those made before it was entered do not count.

    Each storage counts once, however many tensors look at it, rounded up as PyTorch's allocator does.
    """

    def __init__(self, device: str = "cuda") -> None:
        super().__init__()
        self.device = device
        self.now = self.peak = 0
        self._seen: set[int] = set()

    def reset_peak(self) -> None:
        """The peak from here on."""
        self.peak = self.now

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is DEVICE_OF:
            return args[0].device
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, Tensor) and tensor.device.type == self.device:
                self._track(tensor.untyped_storage())
        return out

    def _track(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._seen:
            return
        size = -(-storage.nbytes() // BLOCK) * BLOCK
        self._seen.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


class Counted(TorchDispatchMode):
    """Counts of what a block asks of the device ``cuda``, fake or real.

    ``kernels``: operations that compute or copy there; ``bytes``: what they read and write, each tensor in full;
    ``copies``: tensors that come from the host's ordinary memory, for which a GPU waits; ``pinned``: those from pinned
    memory, for which it does not; ``reads``: the names of operations that wait for a value.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kernels = self.bytes = self.copies = self.pinned = 0
        self.reads: list[str] = []
        self._pinned: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is DEVICE_OF:
            return args[0].device
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        made = [x for x in tree_leaves(out) if isinstance(x, Tensor)]
        if name == "_pin_memory":
            self._pinned.update(x.untyped_storage()._cdata for x in made)
        on_device = any(x.device.type == "cuda" for x in (*given, *made))
        if on_device and (name in READS or (name == "index" and _by_mask(args[1]))):
            self.reads.append(name)
        if name in ("_to_copy", "copy_"):
            self._copy(name, args, out, bool((kwargs or {}).get("non_blocking")))
        if on_device and _launches(func, given, made):
            self.kernels += 1
            self.bytes += sum(x.numel() * x.element_size() for x in (*given, *made) if x.device.type == "cuda")
        return out

    def _copy(self, name: str, args: Any, out: Any, non_blocking: bool) -> None:
        """Copies between the host and the device, in either direction. Fakes are not pinned: what is says so."""
        target, source = (out, args[0]) if name == "_to_copy" else (args[0], args[1])
        if source.device.type == "cpu" and target.device.type == "cuda":
            pinned = non_blocking if _fake(source) else source.is_pinned()
            if pinned or source.untyped_storage()._cdata in self._pinned:
                self.pinned += 1
            else:
                self.copies += 1
        elif source.device.type == "cuda" and target.device.type == "cpu":
            self.reads.append("copy to the host")


def _fake(x: Tensor) -> bool:
    from torch._subclasses.fake_tensor import FakeTensor

    return isinstance(x, FakeTensor)


def _by_mask(indices: Any) -> bool:
    return any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in indices)


def _launches(func: Any, given: list[Tensor], made: list[Tensor]) -> bool:
    """Returns True for an operation that launches a kernel: not for a view, nor for memory that stays unwritten."""
    name = func.overloadpacket.__name__
    if name.startswith(("empty", "new_empty")) or name in (
        "lift_fresh",
        "detach",
        "device",
        "is_pinned",
        "_pin_memory",
    ):
        return False
    if func._schema.is_mutable:
        return True
    there = {x.untyped_storage()._cdata for x in given}
    return any(x.untyped_storage()._cdata not in there for x in made)

"""Counts the work that a block of code gives to a device: live memory, kernels, bytes, copies and value reads."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

BLOCK = 512  # bytes; PyTorch's CUDA allocator allocates multiples of it
DEVICE_OF: Any = torch.ops.prim.device.default  # PyTorch calls it on each fake tensor several times per operation
READS = {"_local_scalar_dense", "nonzero", "masked_select", "unique", "equal", "is_nonzero"}
"""Operations that read values; each waits until the GPU has done all work launched before it."""
NO_KERNEL = {"lift_fresh", "detach", "device", "is_pinned", "_pin_memory"}


class LiveMemory(TorchDispatchMode):
    """Counts the bytes of live storages on a device, and their peak. Storages made before the block do not count.

    A storage counts once, however many tensors view it; its size is rounded up as PyTorch's allocator does.
    """

    def __init__(self, device: str = "cuda") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device = device
        self.now = self.peak = 0
        self._tracked: set[int] = set()

    def reset_peak(self) -> None:
        """Starts a new peak at the present use."""
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
        if key in self._tracked:
            return
        size = -(-storage.nbytes() // BLOCK) * BLOCK
        self._tracked.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._tracked.discard(key)
        self.now -= size


class OperationCounter(TorchDispatchMode):
    """Counts the operations of a block on the device ``cuda``, fake or real.

    ``kernels``: operations that compute or copy on the device; ``bytes``: the size of all their inputs and outputs;
    ``copies``: tensors copied from pageable host memory, which synchronise; ``pinned``: tensors copied from pinned
    memory, which do not; ``reads``: the names of operations that wait for a value.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kernels = self.bytes = self.copies = self.pinned = 0
        self.reads: list[str] = []
        self._pinned: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is DEVICE_OF:
            return args[0].device
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        inputs = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        outputs = [x for x in tree_leaves(out) if isinstance(x, Tensor)]
        if name == "_pin_memory":
            self._pinned.update(x.untyped_storage()._cdata for x in outputs)
        on_device = any(x.device.type == "cuda" for x in (*inputs, *outputs))
        if on_device and (name in READS or (name == "index" and _by_mask(args[1]))):
            self.reads.append(name)
        if name in ("_to_copy", "copy_"):
            self._count_copy(name, args, out, bool((kwargs or {}).get("non_blocking")))
        if on_device and _launches(func, inputs, outputs):
            self.kernels += 1
            self.bytes += sum(x.numel() * x.element_size() for x in (*inputs, *outputs) if x.device.type == "cuda")
        return out

    def _count_copy(self, name: str, args: Any, out: Any, non_blocking: bool) -> None:
        """Counts a copy between host and device. Fake tensors cannot be pinned: ``non_blocking`` stands for it."""
        target, source = (out, args[0]) if name == "_to_copy" else (args[0], args[1])
        if source.device.type == "cpu" and target.device.type == "cuda":
            pinned = non_blocking if _is_fake(source) else source.is_pinned()
            if pinned or source.untyped_storage()._cdata in self._pinned:
                self.pinned += 1
            else:
                self.copies += 1
        elif source.device.type == "cuda" and target.device.type == "cpu":
            self.reads.append("copy to the host")


def _is_fake(x: Tensor) -> bool:
    return isinstance(x, FakeTensor)


def _by_mask(indices: Any) -> bool:
    """Returns True for indexing by a mask, which reads how many entries are true."""
    return any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in indices)


def _launches(func: Any, inputs: list[Tensor], outputs: list[Tensor]) -> bool:
    """Returns True for an operation that launches a kernel; a view or an unwritten allocation launches none."""
    name = func.overloadpacket.__name__
    if name.startswith(("empty", "new_empty")) or name in NO_KERNEL:
        return False
    if func._schema.is_mutable:
        return True
    input_storages = {x.untyped_storage()._cdata for x in inputs}
    return any(x.untyped_storage()._cdata not in input_storages for x in outputs)

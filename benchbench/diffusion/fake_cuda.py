"""Runs CUDA code without a GPU, on fake tensors, which have a shape, a dtype and a device but no values.

This shows the live memory, the kernels and the copies that a GPU would have, and tensors on the wrong device.
``fake_cuda`` is the context, ``fake_backbone`` a base model in it; ``LiveMemory`` and ``OperationCounter`` count.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from benchbench.diffusion import fake_backward
from benchbench.diffusion.fake_models import fake_backbone
from benchbench.runtime.counting import DEVICE_OF, LiveMemory, OperationCounter

__all__ = ["LiveMemory", "OperationCounter", "fake_backbone", "fake_cuda"]

FLASH_MAX_WIDTH = 256  # of a head, for the flash kernel; the single head of the VAE has 512
aten: Any = torch.ops.aten


@contextlib.contextmanager
def fake_cuda() -> Iterator[FakeTensorMode]:
    """Makes new tensors fake within the block, so that ``device="cuda"`` works on any machine.

    Reading a value returns a constant: a number is 1, a mask is true everywhere. Attention uses the kernel that a GPU
    would use, autocast works, and a backward pass needs no driver. Tensors made within the block must not be used after
    it: beware of functions that cache tensors.
    """
    with contextlib.ExitStack() as stack:
        for target, name, value in (
            (torch.cuda.amp.common, "amp_definitely_not_available", lambda: False),
            (torch.cuda, "is_bf16_supported", lambda *args, **kwargs: True),
            (torch.nn.functional, "scaled_dot_product_attention", _attention),
            (torch.nn.Module, "_apply", _apply),
            (torch.Tensor, "__deepcopy__", _deepcopy),
            (torch.autograd, "backward", _backward),
            (torch.autograd, "grad", _grad),
            (torch._C, "_current_graph_task_id", lambda: 0),
            (torch.utils.checkpoint, "get_device_states", lambda *args: ([], [])),
            (torch.utils.checkpoint, "set_device_states", lambda *args, **kwargs: None),
        ):
            stack.enter_context(mock.patch.object(target, name, value))
        mode = stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(_ConstantValues())  # type: ignore[no-untyped-call]
        stack.enter_context(fake_backward.freeing())
        yield mode


class _ConstantValues(TorchDispatchMode):
    """Returns constants for the values of fake tensors, and copies in place of pinned memory, which fakes lack."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is DEVICE_OF:
            return args[0].device
        name = func.overloadpacket.__name__
        if name == "_local_scalar_dense":
            return _constant_one(args[0].dtype)
        if name in ("is_nonzero", "equal"):
            return True
        if name == "nonzero":
            return torch.empty(args[0].numel(), args[0].dim(), dtype=torch.int64, device=args[0].device)
        if name == "_pin_memory":
            return aten.clone(args[0])
        return func(*args, **(kwargs or {}))


def _constant_one(dtype: torch.dtype) -> bool | int | float:
    if dtype == torch.bool:
        return True
    return 1.0 if dtype.is_floating_point else 1


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Calls the attention kernel that an NVIDIA GPU chooses; fake tensors would take one that keeps all scores.

    This is flash attention in half precision without a mask, else the memory-efficient kernel. Both keep one number per
    row.
    """
    if torch.is_autocast_enabled("cuda") and query.device.type == "cuda":
        query, key, value = (x.to(torch.get_autocast_dtype("cuda")) for x in (query, key, value))
    if query.device.type != "cuda":
        return _real_attention(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)
    if attn_mask is None and query.dtype != torch.float32 and query.shape[-1] <= FLASH_MAX_WIDTH:
        out: Tensor = aten._scaled_dot_product_flash_attention(query, key, value, dropout_p, is_causal, scale=scale)[0]
        return out
    bias = None
    if attn_mask is not None:
        bias = torch.zeros_like(attn_mask, dtype=query.dtype) if attn_mask.dtype == torch.bool else attn_mask
        bias = bias.expand(*query.shape[:-1], key.shape[-2])
    out = aten._scaled_dot_product_efficient_attention(
        query, key, value, bias, torch.is_grad_enabled(), dropout_p, is_causal, scale=scale
    )[0]
    return out


_real_attention = torch.nn.functional.scaled_dot_product_attention
_real_deepcopy: Any = torch.Tensor.__deepcopy__
_real_backward, _real_grad = torch.autograd.backward, torch.autograd.grad


def _apply(module: Any, fn: Any, recurse: bool = True) -> Any:
    """Replaces ``Module._apply``: makes new parameters, since fake tensors cannot be exchanged in place."""
    if recurse:
        for child in module.children():
            child._apply(fn)
    for name, parameter in module._parameters.items():
        if parameter is not None:
            with torch.no_grad():
                changed = fn(parameter)
            if changed is not parameter:
                module._parameters[name] = torch.nn.Parameter(changed, parameter.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = fn(buffer)
    return module


def _deepcopy(tensor: Tensor, memo: dict[int, Any]) -> Tensor:
    """Returns a copy of a tensor; PyTorch's own copies the mode of a fake tensor, too, which crashes the process."""
    if not isinstance(tensor, FakeTensor):
        real_copy: Tensor = _real_deepcopy(tensor, memo)
        return real_copy
    if id(tensor) not in memo:
        with torch.no_grad():
            copied = tensor.detach().clone()
        is_parameter = isinstance(tensor, torch.nn.Parameter)
        memo[id(tensor)] = torch.nn.Parameter(copied, tensor.requires_grad) if is_parameter else copied
    result: Tensor = memo[id(tensor)]
    return result


def _list(x: Any) -> list[Any]:
    return list(x) if isinstance(x, tuple | list) else [x]


def _backward(tensors: Any, grad_tensors: Any = None, *args: Any, **kwargs: Any) -> None:
    roots = _list(tensors)
    if not isinstance(roots[0], FakeTensor):
        return _real_backward(tensors, grad_tensors, *args, **kwargs)
    return fake_backward.backward(roots, [None] * len(roots) if grad_tensors is None else _list(grad_tensors))


def _grad(outputs: Any, inputs: Any, grad_outputs: Any = None, *args: Any, **kwargs: Any) -> Any:
    roots = _list(outputs)
    if not isinstance(roots[0], FakeTensor):
        return _real_grad(outputs, inputs, grad_outputs, *args, **kwargs)
    gradients = [None] * len(roots) if grad_outputs is None else _list(grad_outputs)
    return tuple(fake_backward.grad(roots, _list(inputs), gradients))

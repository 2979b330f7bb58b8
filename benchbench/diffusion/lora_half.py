"""A fast LoRA path for a network in half precision: two small matrix products per layer, in the network's precision.

peft computes the low-rank path in the precision of its float32 weights: it casts every input and output and launches
six kernels per layer, which doubles the kernels and the memory traffic of a forward pass. Here A and B are rounded to
the network's precision, and y + s (x Aᵀ) Bᵀ takes one product and one fused product-and-add; the queries, keys and
values of an attention with the same input x share the first product. Rollout, update and evaluation all use this path,
so they round alike.

Merging the adapter into the weights would be faster still, but wrong in training: the early updates of an adapter are
smaller than the resolution of a half-precision weight and would be rounded away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import get_ident
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

ADAPTER = "default"
SHARED = (("to_q", "to_k", "to_v"), ("to_k", "to_v"))  # layers with the same input, in self- and cross-attention
_changes = 0  # changes of weights in this process that do not increase their version, as a fused optimizer's steps


def weights_changed(*_: Any) -> None:
    """Notes that weights may have changed though their version has not, so that their copies are updated."""
    global _changes
    _changes += 1


register_optimizer_step_post_hook(weights_changed)


class LayerGroup:
    """The adapters of layers with the same input x, in the order in which they are called: A [r, in], B [out, r] each.

    A and B are float32 master weights. Forward passes without gradient use copies in the network's precision, which are
    updated in place, so that a compiled block keeps using the same tensors.
    """

    def __init__(self, layers: Sequence[Any], dtype: torch.dtype) -> None:
        self.A = [layer.lora_A[ADAPTER].weight for layer in layers]
        self.B = [layer.lora_B[ADAPTER].weight for layer in layers]
        self.scales = [layer.scaling[ADAPTER] for layer in layers]
        self.ranks = [len(A) for A in self.A]
        self.half_A = torch.cat([A.detach() for A in self.A]).to(dtype)
        self.half_B = [B.detach().to(dtype, copy=True) for B in self.B]
        self._copied_version = self._version()
        self._low_rank: dict[int, Sequence[Tensor]] = {}  # x Aᵀ for the layers not yet called, by thread

    def _version(self) -> list[int]:
        return [*(master._version for master in (*self.A, *self.B)), _changes]

    @torch.no_grad()
    def begin(self) -> None:
        """Prepares a forward pass: updates copies of weights that may have changed, and clears a failed forward."""
        self._low_rank.pop(get_ident(), None)
        version = self._version()
        if version != self._copied_version:
            self.half_A.copy_(torch.cat(self.A))
            for half, master in zip(self.half_B, self.B, strict=True):
                half.copy_(master)
            self._copied_version = version

    def project(self, position: int, x: Tensor) -> Tensor:
        """Returns x Aᵀ [rows, r] for the layer at this position; the first layer computes it for all."""
        thread = 0 if torch.compiler.is_compiling() else get_ident()
        if position == 0:
            A = torch.cat(self.A).to(x.dtype) if torch.is_grad_enabled() else self.half_A
            self._low_rank[thread] = torch.split(x.reshape(-1, x.shape[-1]) @ A.T, self.ranks, dim=1)
        projections = self._low_rank[thread]
        if position == len(self.ranks) - 1:
            del self._low_rank[thread]
        return projections[position]


def install(unet: Any) -> None:
    """Installs the fast path in every plain LoRA layer of a half-precision network; other layers keep peft's path.

    A network in float32 keeps peft's path everywhere. Call this again after another adapter was loaded.
    """
    dtype = next(unet.parameters()).dtype
    if dtype not in (torch.float16, torch.bfloat16):
        return
    for layer in unet.modules():
        if hasattr(layer, "low_rank"):  # left by a replaced adapter
            del layer.forward, layer.low_rank
    groups = []
    for layers in _groups(unet):
        group = LayerGroup(layers, dtype)
        groups.append(group)
        for position, layer in enumerate(layers):
            layer.low_rank = (group, position)
            layer.forward = MethodType(_forward, layer)

    def begin(*_: Any) -> None:
        for group in groups:
            group.begin()

    if getattr(unet, "_begins_adapter", None):
        unet._begins_adapter.remove()
    unet._begins_adapter = unet.register_forward_pre_hook(begin)


def _groups(unet: Any) -> Iterator[list[Any]]:
    """Yields the plain LoRA layers grouped by common input; a layer with an input of its own comes alone."""
    from peft.tuners.lora.layer import Linear

    plain = {layer for layer in unet.modules() if isinstance(layer, Linear) and _is_plain(layer)}
    for module in unet.modules():
        names = SHARED[bool(module.is_cross_attention)] if hasattr(module, "is_cross_attention") else ()
        shared = [layer for name in names if (layer := getattr(module, name, None)) in plain]
        if shared:
            plain -= set(shared)
            yield shared
    for layer in unet.modules():
        if layer in plain:
            yield [layer]


def _is_plain(layer: Any) -> bool:
    """Returns True where the layer's adapter is W + s B A and nothing else: no DoRA, no bias, no dropout."""
    return (
        ADAPTER in layer.lora_A
        and ADAPTER not in layer.lora_variant
        and not layer.lora_bias[ADAPTER]
        and isinstance(layer.lora_dropout[ADAPTER], torch.nn.Identity)
    )


def _forward(layer: Any, x: Tensor) -> Tensor:
    """Returns base(x) + s (x Aᵀ) Bᵀ for x [..., in]; base(x) while adapters are switched off."""
    y: Tensor = layer.base_layer(x)
    if layer.disable_adapters or ADAPTER not in layer.lora_A:
        return y
    group, position = layer.low_rank
    projected, flat, scale = group.project(position, x), y.reshape(-1, y.shape[-1]), group.scales[position]
    if torch.is_grad_enabled():
        return torch.addmm(flat, projected, group.B[position].to(x.dtype).T, alpha=scale).reshape(y.shape)
    return flat.addmm_(projected, group.half_B[position].T, alpha=scale).reshape(y.shape)

"""The adapter of a network in half precision: two small matrix products a layer, in the network's own precision.

peft computes the low-rank path in the precision of its weights, which are float32 masters: it casts every input and
output, launches six kernels a layer, and doubles what a forward launches and moves. Here A and B are rounded to the
network's precision, and y + s (x Aᵀ) Bᵀ is one product and one product-and-add; the queries, keys and values of an
attention that read the same x share the first one. The rollout, the update and the evaluation of a trained adapter all
take this path, so they round alike.

Merging the adapter into the weights would be cheaper still and wrong in training: the update of a young adapter lies
below the resolution of a half-precision weight and would be rounded away.
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
SHARED = (("to_q", "to_k", "to_v"), ("to_k", "to_v"))  # layers that read the same x in self- and in cross-attention
_steps = 0  # optimiser steps of this process: a fused optimiser changes weights without raising their version


def _count_step(*_: Any) -> None:
    global _steps
    _steps += 1


register_optimizer_step_post_hook(_count_step)


class Group:
    """The adapters of layers that read the same x, in the order in which they are called: A [r, in], B [out, r] each.

    A and B are float32 masters. Walks use copies in the network's precision, which are written in place, so that a
    compiled block goes on with the tensors that it has seen.
    """

    def __init__(self, layers: Sequence[Any], dtype: torch.dtype) -> None:
        self.A = [layer.lora_A[ADAPTER].weight for layer in layers]
        self.B = [layer.lora_B[ADAPTER].weight for layer in layers]
        self.scales = [layer.scaling[ADAPTER] for layer in layers]
        self.ranks = [len(A) for A in self.A]
        self.half_A = torch.cat([A.detach() for A in self.A]).to(dtype)
        self.half_B = [B.detach().to(dtype, copy=True) for B in self.B]
        self._seen = self._now()
        self._low: dict[int, Sequence[Tensor]] = {}  # x Aᵀ of the layers still to be called, by thread

    def _now(self) -> list[int]:
        return [*(master._version for master in (*self.A, *self.B)), _steps]

    @torch.no_grad()
    def begin(self) -> None:
        """Before a forward: renews the copies where a master may have changed, drops what a failed forward left."""
        self._low.pop(get_ident(), None)
        now = self._now()
        if now != self._seen:
            self.half_A.copy_(torch.cat(self.A))
            for half, master in zip(self.half_B, self.B, strict=True):
                half.copy_(master)
            self._seen = now

    def low(self, place: int, x: Tensor) -> Tensor:
        """x Aᵀ [rows, r] of the layer at this place; the first layer computes it for all."""
        thread = 0 if torch.compiler.is_compiling() else get_ident()
        if place == 0:
            A = torch.cat(self.A).to(x.dtype) if torch.is_grad_enabled() else self.half_A
            self._low[thread] = (x.reshape(-1, x.shape[-1]) @ A.T).split(self.ranks, dim=1)
        made = self._low[thread]
        if place == len(self.ranks) - 1:
            del self._low[thread]
        return made[place]


def install(unet: Any) -> None:
    """Gives every plain LoRA layer of a half-precision network the path above; others keep peft's.

    A network in float32 keeps peft's path everywhere. Call it again after another adapter was loaded.
    """
    dtype = next(unet.parameters()).dtype
    if dtype not in (torch.float16, torch.bfloat16):
        return
    for layer in unet.modules():
        if hasattr(layer, "low_rank"):  # of an adapter that was replaced
            del layer.forward, layer.low_rank
    groups = []
    for layers in _groups(unet):
        group = Group(layers, dtype)
        groups.append(group)
        for place, layer in enumerate(layers):
            layer.low_rank = (group, place)
            layer.forward = MethodType(_forward, layer)

    def begin(*_: Any) -> None:
        for group in groups:
            group.begin()

    if getattr(unet, "_begins_adapter", None):
        unet._begins_adapter.remove()
    unet._begins_adapter = unet.register_forward_pre_hook(begin)


def _groups(unet: Any) -> Iterator[list[Any]]:
    """Plain LoRA layers by the x that they read; a layer that shares it with no other stands alone."""
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
    """base(x) + s (x Aᵀ) Bᵀ for x [..., in]; the base alone while adapters are switched off."""
    y: Tensor = layer.base_layer(x)
    if layer.disable_adapters or ADAPTER not in layer.lora_A:
        return y
    group, place = layer.low_rank
    low, flat, scale = group.low(place, x), y.reshape(-1, y.shape[-1]), group.scales[place]
    if torch.is_grad_enabled():
        return torch.addmm(flat, low, group.B[place].to(x.dtype).T, alpha=scale).reshape(y.shape)
    return flat.addmm_(low, group.half_B[place].T, alpha=scale).reshape(y.shape)

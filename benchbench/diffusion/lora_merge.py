"""Merges DoRA, and convolutions of three matrices, into the weights of a network of their own.

| adapter | changed weight |
|---|---|
| LoRA | W' = W + s B A |
| LyCORIS convolution with ``lora_mid`` | W'[o, i] = W[o, i] + s sum_mn B[o, m] mid[m, n] A[n, i], kernels [k, k] |
| DoRA (Liu et al., 2024) of peft | m W' / norm(W'), the norm of each output's weights |
| DoRA of LyCORIS, OneTrainer | the same, or the norm of each input's weights; float32's epsilon is added to it |

s is alpha / r, or alpha / √r for rsLoRA, and is inside the norm. peft could compute its own DoRA beside the weights,
but would compute every norm again at each call.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchbench.diffusion.fill import empty, filled
from benchbench.diffusion.lora_checks import MERGE
from benchbench.diffusion.lora_file import Layer, LoraFile
from benchbench.errors import CorruptError


@torch.no_grad()
def merged_network(unet: Any, adapter: LoraFile, file: Path) -> Any:
    """Returns a network with the adapter in its weights; it shares all other weights with ``unet``, which stays.

    Raises CorruptError where a changed weight is not finite: its norm is 0, by which DoRA divides.
    """
    state = {name.replace(".base_layer.", "."): tensor for name, tensor in unet.state_dict().items()}
    for name, layer in adapter.layers.items():
        weight = state[f"{name}.weight"]
        changed = changed_weight(weight, layer, adapter.scale(layer)).to(weight.dtype)
        if not changed.isfinite().all():
            cause = f"some of the changed weights of {name} are all zero or too large, and DoRA divides by their norm"
            raise CorruptError(f"the adapter {file} cannot be merged", cause, MERGE)
        state[f"{name}.weight"] = changed
    return filled(empty(lambda: type(unet).from_config(unet.config)), state, weight.device, weight.dtype)


def changed_weight(weight: Tensor, layer: Layer, scale: float) -> Tensor:
    """Returns the weight [out, in, ...] with the adapter in it, float32."""
    A, B = (matrix.to(weight.device).float() for matrix in (layer.A, layer.B))
    if layer.mid is None:
        product = B.flatten(1) @ A.flatten(1)
    else:
        mid = layer.mid.to(weight.device).float()
        product = torch.einsum("om,mnkl,ni->oikl", B.flatten(1), mid, A.flatten(1))
    changed = weight.float() + scale * product.reshape(weight.shape)
    if layer.magnitude is None:
        return changed
    magnitude = layer.magnitude.to(weight.device).float()
    axes = tuple(axis for axis in range(weight.ndim) if axis != (0 if len(magnitude) == len(weight) else 1))
    norm = torch.linalg.vector_norm(changed, dim=axes, keepdim=True)
    rescaled: Tensor = changed * (magnitude / (norm + layer.epsilon))
    return rescaled

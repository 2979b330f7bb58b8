"""Reads files of weights without running code in them, and gives CLIP's tensors the names of OpenAI's classes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

State = dict[str, Tensor]

PLACES = {
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "logit_scale": "logit_scale",
}
PROJECTIONS = {"visual_projection.weight": "visual.proj", "text_projection.weight": "text_projection"}
BLOCKS = {
    "vision_model.encoder.layers.": "visual.transformer.resblocks.",
    "text_model.encoder.layers.": "transformer.resblocks.",
}
PARTS = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


_load = torch.load  # before ``read`` takes its place


def read(path: Any, **_: object) -> Any:
    """Returns what a file of tensors holds, on the CPU. It stands in for torch.load, whose options it ignores."""
    if str(path).endswith(".safetensors"):
        from safetensors.torch import load_file

        return load_file(path)
    return _load(path, map_location="cpu", weights_only=True)


def tensors(path: str) -> State:
    """Returns the tensors of a file by their names, those under the key ``state_dict`` where there is one."""
    held = read(path)
    return dict(held.get("state_dict", held))


def clip_state(path: str) -> State:
    """Returns a CLIP's tensors in float32 by OpenAI's names, whether the file has those or transformers' names."""
    state = {name: value.float() for name, value in tensors(path).items() if not name.endswith("position_ids")}
    return state if "visual.conv1.weight" in state else _renamed(state)


def _renamed(state: State) -> State:
    """Returns tensors of transformers' CLIPModel by OpenAI's names: q, k and v are joined, projections transposed."""
    renamed = {PLACES[name]: value for name, value in state.items() if name in PLACES}
    renamed.update({PROJECTIONS[name]: value.T.contiguous() for name, value in state.items() if name in PROJECTIONS})
    for theirs, prefix in BLOCKS.items():
        for name in [name for name in state if name.startswith(theirs)]:
            block, _, inner = name[len(theirs) :].partition(".")
            part, _, kind = inner.rpartition(".")
            if part in PARTS:
                renamed[f"{prefix}{block}.{PARTS[part]}.{kind}"] = state[name]
            elif part == "self_attn.q_proj":
                joined = torch.cat([state[f"{theirs}{block}.self_attn.{letter}_proj.{kind}"] for letter in "qkv"])
                renamed[f"{prefix}{block}.attn.in_proj_{kind}"] = joined
    return renamed

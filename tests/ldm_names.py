"""The names of Stability AI's code for the tensors of a UNet, VAE and text encoders, by counting along their blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def unet_blocks(config: Mapping[str, Any]) -> dict[str, str]:
    """Stability AI's name of each resnet, attention and change of size, by diffusers' name."""
    names = {**OUTSIDE, "mid_block.resnets.0": "middle_block.0", "mid_block.attentions.0": "middle_block.1"}
    names["mid_block.resnets.1"] = "middle_block.2"
    number, down, up = 1, config["down_block_types"], config["up_block_types"]
    for block, kind in enumerate(down):
        for layer in range(config["layers_per_block"]):
            names[f"down_blocks.{block}.resnets.{layer}"] = f"input_blocks.{number}.0"
            if "CrossAttn" in kind:
                names[f"down_blocks.{block}.attentions.{layer}"] = f"input_blocks.{number}.1"
            number += 1
        if block < len(down) - 1:
            names[f"down_blocks.{block}.downsamplers.0.conv"] = f"input_blocks.{number}.0.op"
            number += 1
    number = 0
    for block, kind in enumerate(up):
        layers = config["layers_per_block"] + 1
        for layer in range(layers):
            names[f"up_blocks.{block}.resnets.{layer}"] = f"output_blocks.{number}.0"
            if "CrossAttn" in kind:
                names[f"up_blocks.{block}.attentions.{layer}"] = f"output_blocks.{number}.1"
            if layer == layers - 1 and block < len(up) - 1:
                place = 2 if "CrossAttn" in kind else 1
                names[f"up_blocks.{block}.upsamplers.0.conv"] = f"output_blocks.{number}.{place}.conv"
            number += 1
    return names


def unet_name(name: str, blocks: Mapping[str, str]) -> str:
    """Stability AI's name of a tensor or module of the UNet, by diffusers' name."""
    block = next(known for known in sorted(blocks, key=len, reverse=True) if f"{name}.".startswith(f"{known}."))
    rest = name[len(block) + 1 :]
    if ".resnets." in f".{block}":
        first, _, last = rest.partition(".")
        rest = ".".join(filter(None, [RESNET[first], last]))
    return ".".join(filter(None, [blocks[block], rest]))


def vae_name(name: str, blocks: int) -> str:
    """Stability AI's name of a tensor of a VAE with this number of blocks, by diffusers' name."""
    parts = name.split(".")
    if parts[0] in ("quant_conv", "post_quant_conv") or parts[1] in ("conv_in", "conv_out"):
        return name
    side = parts[0]
    if parts[1] == "conv_norm_out":
        return f"{side}.norm_out.{parts[2]}"
    if parts[1] == "mid_block":
        if parts[2] == "resnets":
            return _vae_resnet(f"{side}.mid.block_{int(parts[3]) + 1}", parts[4:])
        inner = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out": "proj_out"}[parts[4]]
        return f"{side}.mid.attn_1.{inner}.{parts[-1]}"
    number = int(parts[2]) if side == "encoder" else blocks - 1 - int(parts[2])
    place = f"{side}.{'down' if side == 'encoder' else 'up'}.{number}"
    if parts[3] == "resnets":
        return _vae_resnet(f"{place}.block.{parts[4]}", parts[5:])
    return f"{place}.{'downsample' if side == 'encoder' else 'upsample'}.conv.{parts[-1]}"


def _vae_resnet(block: str, rest: Sequence[str]) -> str:
    return ".".join([block, *("nin_shortcut" if part == "conv_shortcut" else part for part in rest)])


OPEN_CLIP = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
INSIDE = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}


def open_clip_name(name: str) -> str:
    """open_clip's name of a tensor of a text encoder; the projections of queries, keys and values are joined."""
    if name in OPEN_CLIP:
        return OPEN_CLIP[name]
    _, _, number, *rest = name.split(".")
    inner = ".".join(rest)
    for theirs, its in INSIDE.items():
        inner = inner.replace(theirs, its)
    inner = inner.replace("self_attn.out_proj", "attn.out_proj")
    return f"transformer.resblocks.{number}.{inner}"

"""BLIP (arXiv:2201.12086) as ImageReward uses it: the text tower attends to the image by cross-attention.

transformers' defaults would be wrong in five places. Three of them raise no error: 12 text heads (not 8), LayerNorm eps
1e-6 in the image tower (not 1e-5), and attention in both directions (not causal). The first token stays [CLS].
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ._weights import State, fill, layers, need, part

HEAD = 64
"""Width of an attention head in both towers."""
VISION = {
    "cls_token": "embeddings.class_embedding",
    "pos_embed": "embeddings.position_embedding",
    "patch_embed.proj": "embeddings.patch_embedding",
    "norm": "post_layernorm",
}
LAYER = {
    "norm1": "layer_norm1",
    "attn.qkv": "self_attn.qkv",
    "attn.proj": "self_attn.projection",
    "norm2": "layer_norm2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}


class Vision(nn.Module):
    """The image tower: preprocessed images [N, 3, side, side] to normalised tokens [N, L, D], the class token first."""

    def __init__(self, state: State, path: Path) -> None:
        from transformers import BlipVisionConfig, BlipVisionModel

        super().__init__()
        patches = need(state, "patch_embed.proj.weight", path)
        width, patch = patches.shape[0], patches.shape[-1]
        self.side = round((need(state, "pos_embed", path).shape[1] - 1) ** 0.5) * patch
        config = BlipVisionConfig(
            hidden_size=width,
            intermediate_size=len(need(state, "blocks.0.mlp.fc1.weight", path)),
            num_hidden_layers=layers(state, "blocks."),
            num_attention_heads=width // HEAD,
            image_size=self.side,
            patch_size=patch,
            layer_norm_eps=1e-6,
            hidden_act="gelu",
        )
        renamed = {_vision_name(name): value for name, value in state.items()}
        self.tower = fill(lambda: BlipVisionModel(config), renamed, path)

    def forward(self, pixels: Tensor) -> Tensor:
        """Returns the tokens [N, L, D]."""
        tokens: Tensor = self.tower(pixels).last_hidden_state
        return tokens


class Text(nn.Module):
    """The text tower: token ids and mask [N, L], and image tokens, to the last state of the first token [N, D]."""

    def __init__(self, state: State, path: Path) -> None:
        from transformers import BlipTextConfig
        from transformers.models.blip.modeling_blip_text import BlipTextModel

        super().__init__()
        words = need(state, "embeddings.word_embeddings.weight", path)
        width = words.shape[1]
        config = BlipTextConfig(
            vocab_size=len(words),
            hidden_size=width,
            encoder_hidden_size=need(state, "encoder.layer.0.crossattention.self.key.weight", path).shape[1],
            intermediate_size=len(need(state, "encoder.layer.0.intermediate.dense.weight", path)),
            num_hidden_layers=layers(state, "encoder.layer."),
            num_attention_heads=width // HEAD,
            max_position_embeddings=len(need(state, "embeddings.position_embeddings.weight", path)),
            layer_norm_eps=1e-12,
            bos_token_id=None,
            sep_token_id=None,
            hidden_act="gelu",
            is_decoder=True,  # needed for cross-attention modules; the mask below still attends in both directions
        )
        tensors = {name: value for name, value in state.items() if not name.endswith("position_ids")}
        self.tower = fill(lambda: BlipTextModel(config, add_pooling_layer=False), tensors, path)

    def forward(self, ids: Tensor, mask: Tensor, image: Tensor) -> Tensor:
        """Returns the last state of the first token, [N, D]."""
        # The tower's own forward tests whether the mask hides any token, which waits for the GPU.
        hidden = torch.zeros(mask.shape, device=mask.device).masked_fill(mask == 0, torch.finfo(torch.float32).min)
        words = self.tower.embeddings(input_ids=ids)
        out = self.tower.encoder(words, attention_mask=hidden[:, None, None], encoder_hidden_states=image)
        first_token: Tensor = out.last_hidden_state[:, 0]
        return first_token


def towers(state: State, path: Path) -> tuple[Vision, Text]:
    """Returns both towers of a checkpoint in BLIP's own names, without its two projections, which no score uses."""
    return Vision(part(state, "blip.visual_encoder."), path), Text(part(state, "blip.text_encoder."), path)


def tokenizer(folder: Path) -> Any:
    """Returns BERT's tokenizer from the files of a folder. BLIP's two extra tokens appear in no prompt."""
    from transformers import BertTokenizer

    return BertTokenizer.from_pretrained(folder, local_files_only=True)


def _vision_name(name: str) -> str:
    """Returns transformers' name of a tensor of BLIP's image tower."""
    if not name.startswith("blocks."):
        stem, dot, suffix = name.rpartition(".")
        return VISION[name] if name in VISION else f"{VISION.get(stem, stem)}{dot}{suffix}"
    _, layer, rest = name.split(".", 2)
    stem, _, suffix = rest.rpartition(".")
    return f"encoder.layers.{layer}.{LAYER.get(stem, stem)}.{suffix}"

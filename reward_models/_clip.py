"""CLIP's two towers (arXiv:2103.00020) from a checkpoint in the layout of transformers or of open_clip.

Sizes are read from the checkpoint; what no shape tells is in ``Family``: OpenAI's weights were trained with
x * sigmoid(1.702 x) and LAION's with the exact GELU, and taking the one for the other is silent.
"""

from __future__ import annotations

import html
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import normalize

from benchbench.api import hand_over

from ._prompts import exactly, look_up
from ._weights import State, fill, layers, need, read


@dataclass(frozen=True)
class Family:
    """What a CLIP checkpoint does not say of itself."""

    activation: str
    vision_head: int
    """Width of a head of the image tower."""
    text_head: int = 64


OPENAI_L14 = Family("quick_gelu", 64)
LAION_H14 = Family("gelu", 80)


class Vision(nn.Module):
    """The image tower: prepared images [N, 3, side, side] to embeddings [N, D], not normalised."""

    def __init__(self, state: State, family: Family, path: Path) -> None:
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

        super().__init__()
        patches = need(state, "vision_model.embeddings.patch_embedding.weight", path)
        positions = need(state, "vision_model.embeddings.position_embedding.weight", path)
        width, patch = patches.shape[0], patches.shape[-1]
        self.side = round((len(positions) - 1) ** 0.5) * patch
        config = CLIPVisionConfig(
            hidden_size=width,
            intermediate_size=len(need(state, "vision_model.encoder.layers.0.mlp.fc1.weight", path)),
            num_hidden_layers=layers(state, "vision_model.encoder.layers."),
            num_attention_heads=width // family.vision_head,
            image_size=self.side,
            patch_size=patch,
            projection_dim=len(need(state, "visual_projection.weight", path)),
            hidden_act=family.activation,
        )
        own = {name: value for name, value in state.items() if name.startswith(("vision_model.", "visual_projection."))}
        self.tower = fill(lambda: CLIPVisionModelWithProjection(config), own, path)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.tower(pixels).image_embeds


class Text(nn.Module):
    """The text tower and its tokenizer: prompts to embeddings [N, D] of length 1.

    An embedding depends on its prompt alone, so it is kept on the device (the last ``KEEP`` of them, 4 kB each), and
    the tower stays in the host's memory: on the device a copy of it is only while prompts are new.
    """

    KEEP = 10_000
    CHUNK = 64  # prompts that are read at a time

    def __init__(self, state: State, family: Family, path: Path, tokenizer: Any, unescape: bool) -> None:
        from transformers import CLIPTextConfig, CLIPTextModelWithProjection

        super().__init__()
        words = need(state, "text_model.embeddings.token_embedding.weight", path)
        positions = need(state, "text_model.embeddings.position_embedding.weight", path)
        width = words.shape[1]
        config = CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=width,
            intermediate_size=len(need(state, "text_model.encoder.layers.0.mlp.fc1.weight", path)),
            num_hidden_layers=layers(state, "text_model.encoder.layers."),
            num_attention_heads=width // family.text_head,
            max_position_embeddings=len(positions),
            projection_dim=len(need(state, "text_projection.weight", path)),
            hidden_act=family.activation,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,  # where the sentence is read; transformers' old default is wrong
        )
        own = {name: value for name, value in state.items() if name.startswith(("text_model.", "text_projection."))}
        self.tower = fill(lambda: CLIPTextModelWithProjection(config), own, path)
        self.tokenizer, self.length, self.unescape = tokenizer, len(positions), unescape
        self._known: OrderedDict[str, Tensor] = OrderedDict()

    def forward(self, prompts: Sequence[str], device: torch.device) -> Tensor:
        return look_up(self._known, prompts, lambda new: self._read(new, device), self.KEEP)

    def _read(self, prompts: list[str], device: torch.device) -> Tensor:
        """Embeddings [N, D] of prompts by a copy of the tower on the device; the tower itself does not move."""
        own = [*self.tower.named_parameters(), *self.tower.named_buffers()]
        there = {name: value.to(device) for name, value in own}
        parts = []
        with exactly(device):
            for i in range(0, len(prompts), self.CHUNK):
                ids = hand_over(self.tokens(prompts[i : i + self.CHUNK]), device)
                parts.append(normalize(functional_call(self.tower, there, (ids,)).text_embeds, dim=-1))
        return torch.cat(parts)

    def tokens(self, prompts: Sequence[str]) -> Tensor:
        """Ids [N, L]: beginning, words, end; cut at the tower's length, padded at the end, which no score reads."""
        texts = [html.unescape(html.unescape(prompt)) for prompt in prompts] if self.unescape else list(prompts)
        ids: Tensor = self.tokenizer(
            texts, padding=True, truncation=True, max_length=self.length, return_tensors="pt"
        ).input_ids
        return ids


def load(weights: Path) -> State:
    """A checkpoint's tensors by transformers' names, whichever of the two layouts it has."""
    state = read(weights)
    if "visual.conv1.weight" in state:
        state = from_open_clip(state, weights)
    return {name: value for name, value in state.items() if not name.endswith("position_ids")}


def tokenizer(folder: Path) -> Any:
    """CLIP's tokenizer from the files of a folder."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(folder, local_files_only=True)


def from_open_clip(state: State, path: Path) -> State:
    """open_clip's names and shapes to transformers': fused q, k, v are split, projections transposed."""
    out: State = {"logit_scale": need(state, "logit_scale", path)}
    for name, value in state.items():
        side, inner = ("vision", name.removeprefix("visual.")) if name.startswith("visual.") else ("text", name)
        if inner in ("proj", "text_projection"):
            out["visual_projection.weight" if side == "vision" else "text_projection.weight"] = value.T.contiguous()
        elif inner.startswith("transformer.resblocks."):
            layer, _, rest = inner.removeprefix("transformer.resblocks.").partition(".")
            where = f"{side}_model.encoder.layers.{layer}."
            if rest.startswith("attn.in_proj_"):
                kind = rest.removeprefix("attn.in_proj_")
                for one, third in zip("qkv", value.chunk(3), strict=True):
                    out[f"{where}self_attn.{one}_proj.{kind}"] = third
            else:
                part, _, kind = rest.rpartition(".")
                out[f"{where}{LAYER[part]}.{kind}"] = value
        elif (side, inner) in TOP:
            out[f"{side}_model.{TOP[side, inner]}"] = value
    return out


LAYER = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
TOP = {
    ("vision", "class_embedding"): "embeddings.class_embedding",
    ("vision", "positional_embedding"): "embeddings.position_embedding.weight",
    ("vision", "conv1.weight"): "embeddings.patch_embedding.weight",
    ("vision", "ln_pre.weight"): "pre_layrnorm.weight",  # so spelled in transformers
    ("vision", "ln_pre.bias"): "pre_layrnorm.bias",
    ("vision", "ln_post.weight"): "post_layernorm.weight",
    ("vision", "ln_post.bias"): "post_layernorm.bias",
    ("text", "token_embedding.weight"): "embeddings.token_embedding.weight",
    ("text", "positional_embedding"): "embeddings.position_embedding.weight",
    ("text", "ln_final.weight"): "final_layer_norm.weight",
    ("text", "ln_final.bias"): "final_layer_norm.bias",
}

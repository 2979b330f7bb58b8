"""CLIP's two towers (arXiv:2103.00020) from a checkpoint in the layout of transformers or of open_clip.

Sizes are read from the checkpoint. ``Family`` holds the settings that tensor shapes do not determine: OpenAI's weights
were trained with x * sigmoid(1.702 x) and LAION's with the exact GELU, and a mix-up raises no error.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ftfy
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import normalize

from benchbench.api import copy_to_device

from ._prompts import PromptCache
from ._weights import State, fill, layers, need, read


@dataclass(frozen=True)
class Family:
    """The settings of a CLIP that its checkpoint does not contain."""

    activation: str
    vision_head: int
    """Width of an attention head in the image tower."""
    text_head: int = 64


OPENAI_L14 = Family("quick_gelu", 64)
LAION_H14 = Family("gelu", 80)
VISION_PREFIXES = ("vision_model.", "visual_projection.")
TEXT_PREFIXES = ("text_model.", "text_projection.")


class Vision(nn.Module):
    """The image tower: preprocessed images [N, 3, side, side] to embeddings [N, D], not normalised."""

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
        tensors = {name: value for name, value in state.items() if name.startswith(VISION_PREFIXES)}
        self.tower = fill(lambda: CLIPVisionModelWithProjection(config), tensors, path)

    def forward(self, pixels: Tensor) -> Tensor:
        """Returns the embeddings [N, D]."""
        embeddings: Tensor = self.tower(pixels).image_embeds
        return embeddings


class Text(nn.Module):
    """The text tower and its tokenizer: prompts to unit embeddings [N, D].

    An embedding depends on its prompt alone, so the last 10,000 stay on the device, 4 kB each. The tower itself stays
    in host memory, and is copied to the device only to encode new prompts.
    """

    CACHED = 10_000
    CHUNK = 64  # prompts that are encoded at a time

    def __init__(self, state: State, family: Family, path: Path, tokenizer: Any, cleans: bool) -> None:
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
            eos_token_id=tokenizer.eos_token_id,  # its state is the embedding; transformers' old default is wrong
        )
        tensors = {name: value for name, value in state.items() if name.startswith(TEXT_PREFIXES)}
        self.tower = fill(lambda: CLIPTextModelWithProjection(config), tensors, path)
        self.tokenizer, self.length, self.cleans = tokenizer, len(positions), cleans
        self.cache = PromptCache[str](self.CACHED)

    def forward(self, prompts: Sequence[str], device: torch.device) -> Tensor:
        """Returns the unit embeddings [N, D] on the device."""
        return self.cache.get(prompts, lambda new: self._encode(new, device), device)

    def _encode(self, prompts: list[str], device: torch.device) -> Tensor:
        """Returns embeddings [N, D] of prompts, computed by a copy of the tower on the device."""
        named = [*self.tower.named_parameters(), *self.tower.named_buffers()]
        on_device = {name: value.to(device) for name, value in named}
        parts = []
        for i in range(0, len(prompts), self.CHUNK):
            ids = copy_to_device(self.tokens(prompts[i : i + self.CHUNK]), device)
            parts.append(normalize(functional_call(self.tower, on_device, (ids,)).text_embeds, dim=-1))
        return torch.cat(parts)

    def tokens(self, prompts: Sequence[str]) -> Tensor:
        """Returns token ids [N, L] with start and end token, cut at the tower's length, padded after the end token.

        Padding changes no embedding.
        """
        ids: Tensor = self.tokenizer(
            self.cleaned(prompts), padding=True, truncation=True, max_length=self.length, return_tensors="pt"
        ).input_ids
        return ids

    def cleaned(self, prompts: Sequence[str]) -> list[str]:
        """Returns the prompts as the tokenizer gets them: where ``cleans``, as open_clip's ``basic_clean`` does it."""
        if not self.cleans:
            return list(prompts)
        return [html.unescape(html.unescape(ftfy.fix_text(prompt))) for prompt in prompts]


def load(weights: Path) -> State:
    """Returns a checkpoint's tensors by transformers' names, whichever of the two layouts it has."""
    state = read(weights)
    if "visual.conv1.weight" in state:
        state = from_open_clip(state, weights)
    return {name: value for name, value in state.items() if not name.endswith("position_ids")}


def tokenizer(folder: Path) -> Any:
    """Returns CLIP's tokenizer from the files of a folder."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(folder, local_files_only=True)


def from_open_clip(state: State, path: Path) -> State:
    """Returns open_clip's tensors by transformers' names: fused q, k, v are split, projections transposed."""
    renamed: State = {"logit_scale": need(state, "logit_scale", path)}
    for name, value in state.items():
        side, inner = ("vision", name.removeprefix("visual.")) if name.startswith("visual.") else ("text", name)
        if inner in ("proj", "text_projection"):
            renamed["visual_projection.weight" if side == "vision" else "text_projection.weight"] = value.T.contiguous()
        elif inner.startswith("transformer.resblocks."):
            layer, _, rest = inner.removeprefix("transformer.resblocks.").partition(".")
            prefix = f"{side}_model.encoder.layers.{layer}."
            if rest.startswith("attn.in_proj_"):
                suffix = rest.removeprefix("attn.in_proj_")
                for letter, third in zip("qkv", value.chunk(3), strict=True):
                    renamed[f"{prefix}self_attn.{letter}_proj.{suffix}"] = third
            else:
                part, _, suffix = rest.rpartition(".")
                renamed[f"{prefix}{LAYER[part]}.{suffix}"] = value
        elif (side, inner) in TOP:
            renamed[f"{side}_model.{TOP[side, inner]}"] = value
    return renamed


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
    ("vision", "ln_pre.weight"): "pre_layrnorm.weight",  # transformers spells it so
    ("vision", "ln_pre.bias"): "pre_layrnorm.bias",
    ("vision", "ln_post.weight"): "post_layernorm.weight",
    ("vision", "ln_post.bias"): "post_layernorm.bias",
    ("text", "token_embedding.weight"): "embeddings.token_embedding.weight",
    ("text", "positional_embedding"): "embeddings.position_embedding.weight",
    ("text", "ln_final.weight"): "final_layer_norm.weight",
    ("text", "ln_final.bias"): "final_layer_norm.bias",
}

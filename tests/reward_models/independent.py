"""The reward models a second time, from their published key lists alone: nothing here imports reward_models.

Each function reads a checkpoint in its released layout and does the arithmetic with plain matrix products. The keyword
arguments are the mistakes that a port can make without noticing; tests check that each of them would be noticed.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

State = dict[str, Tensor]
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def quick_gelu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-1.702 * x))


def norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + eps) * weight + bias


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, hide: Tensor | None = None) -> Tensor:
    """[N, L, D]; ``hide`` is True where a query (row) must not look at a key (column)."""
    out = []
    for qh, kh, vh in zip(q.chunk(heads, -1), k.chunk(heads, -1), v.chunk(heads, -1), strict=True):
        scores = qh @ kh.transpose(1, 2) / math.sqrt(qh.shape[-1])
        if hide is not None:
            scores = scores.masked_fill(hide, -1e9)
        out.append(torch.softmax(scores, -1) @ vh)
    return torch.cat(out, -1)


def linear(x: Tensor, s: State, name: str) -> Tensor:
    return x @ s[f"{name}.weight"].T + s[f"{name}.bias"]


def normed(x: Tensor, s: State, name: str, eps: float = 1e-5) -> Tensor:
    return norm(x, s[f"{name}.weight"], s[f"{name}.bias"], eps)


def causal(length: int) -> Tensor:
    return torch.ones(length, length, dtype=torch.bool).triu(1)


def unit(x: Tensor) -> Tensor:
    return x / x.square().sum(-1, keepdim=True).sqrt()


def patches(pixels: Tensor, kernel: Tensor) -> Tensor:
    """[N, 3, S, S] to [N, (S/p)², D], row by row."""
    p = kernel.shape[-1]
    cut = pixels.unfold(2, p, p).unfold(3, p, p).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    return cut @ kernel.flatten(1).T


# CLIP in transformers' layout


def hf_blocks(x: Tensor, s: State, prefix: str, heads: int, act: Callable[[Tensor], Tensor], hide: Tensor | None):  # type: ignore[no-untyped-def]
    i = 0
    while f"{prefix}{i}.layer_norm1.weight" in s:
        b = f"{prefix}{i}."
        y = normed(x, s, f"{b}layer_norm1")
        q, k, v = (linear(y, s, f"{b}self_attn.{n}_proj") for n in "qkv")
        x = x + linear(attend(q, k, v, heads, hide), s, f"{b}self_attn.out_proj")
        x = x + linear(act(linear(normed(x, s, f"{b}layer_norm2"), s, f"{b}mlp.fc1")), s, f"{b}mlp.fc2")
        i += 1
    return x


def hf_image(s: State, pixels: Tensor, heads: int, act: Callable[[Tensor], Tensor]) -> Tensor:
    e = "vision_model.embeddings."
    x = patches(pixels, s[f"{e}patch_embedding.weight"])
    x = torch.cat([s[f"{e}class_embedding"].expand(len(x), 1, -1), x], 1) + s[f"{e}position_embedding.weight"]
    x = normed(x, s, "vision_model.pre_layrnorm")
    x = hf_blocks(x, s, "vision_model.encoder.layers.", heads, act, None)
    return normed(x[:, 0], s, "vision_model.post_layernorm") @ s["visual_projection.weight"].T


def hf_text(s: State, ids: list[list[int]], heads: int, act: Callable[[Tensor], Tensor], mask: bool = True) -> Tensor:
    e = "text_model.embeddings."
    out = []
    for row in ids:  # no padding: each prompt alone, read at its last token
        x = s[f"{e}token_embedding.weight"][row][None] + s[f"{e}position_embedding.weight"][: len(row)]
        x = hf_blocks(x, s, "text_model.encoder.layers.", heads, act, causal(len(row)) if mask else None)
        out.append(normed(x, s, "text_model.final_layer_norm")[0, -1] @ s["text_projection.weight"].T)
    return torch.stack(out)


# CLIP in open_clip's layout


def oc_blocks(x: Tensor, s: State, prefix: str, heads: int, act: Callable[[Tensor], Tensor], hide: Tensor | None):  # type: ignore[no-untyped-def]
    i = 0
    while f"{prefix}{i}.ln_1.weight" in s:
        b = f"{prefix}{i}."
        y = normed(x, s, f"{b}ln_1") @ s[f"{b}attn.in_proj_weight"].T + s[f"{b}attn.in_proj_bias"]
        x = x + linear(attend(*y.chunk(3, -1), heads, hide), s, f"{b}attn.out_proj")
        x = x + linear(act(linear(normed(x, s, f"{b}ln_2"), s, f"{b}mlp.c_fc")), s, f"{b}mlp.c_proj")
        i += 1
    return x


def oc_image(s: State, pixels: Tensor, heads: int, act: Callable[[Tensor], Tensor]) -> Tensor:
    x = patches(pixels, s["visual.conv1.weight"])
    x = torch.cat([s["visual.class_embedding"].expand(len(x), 1, -1), x], 1) + s["visual.positional_embedding"]
    x = oc_blocks(normed(x, s, "visual.ln_pre"), s, "visual.transformer.resblocks.", heads, act, None)
    return normed(x[:, 0], s, "visual.ln_post") @ s["visual.proj"]


def oc_text(s: State, ids: list[list[int]], heads: int, act: Callable[[Tensor], Tensor], mask: bool = True) -> Tensor:
    out = []
    for row in ids:
        x = (s["token_embedding.weight"][row] + s["positional_embedding"][: len(row)])[None]
        x = oc_blocks(x, s, "transformer.resblocks.", heads, act, causal(len(row)) if mask else None)
        out.append(normed(x, s, "ln_final")[0, -1] @ s["text_projection"])
    return torch.stack(out)


# ImageReward


def ir_image(s: State, pixels: Tensor, heads: int, eps: float = 1e-6, act: Callable[[Tensor], Tensor] = gelu) -> Tensor:
    v = "blip.visual_encoder."
    x = patches(pixels, s[f"{v}patch_embed.proj.weight"]) + s[f"{v}patch_embed.proj.bias"]
    x = torch.cat([s[f"{v}cls_token"].expand(len(x), 1, -1), x], 1) + s[f"{v}pos_embed"]
    i = 0
    while f"{v}blocks.{i}.norm1.weight" in s:
        b = f"{v}blocks.{i}."
        q, k, w = linear(normed(x, s, f"{b}norm1", eps), s, f"{b}attn.qkv").chunk(3, -1)
        x = x + linear(attend(q, k, w, heads), s, f"{b}attn.proj")
        x = x + linear(act(linear(normed(x, s, f"{b}norm2", eps), s, f"{b}mlp.fc1")), s, f"{b}mlp.fc2")
        i += 1
    return normed(x, s, f"{v}norm", eps)


def ir_text(
    s: State,
    ids: list[list[int]],
    image: Tensor,
    heads: int,
    mask: bool = False,
    act: Callable[[Tensor], Tensor] = gelu,
) -> Tensor:
    """The first token's state; each prompt alone, without padding. ``mask``: the causal mask of a decoder."""
    t = "blip.text_encoder."
    out = []
    for row, seen in zip(ids, image, strict=True):
        words = s[f"{t}embeddings.word_embeddings.weight"][row]
        x = (words + s[f"{t}embeddings.position_embeddings.weight"][: len(row)])[None]
        x = normed(x, s, f"{t}embeddings.LayerNorm", 1e-12)
        i = 0
        while f"{t}encoder.layer.{i}.output.dense.weight" in s:
            b = f"{t}encoder.layer.{i}."
            for kind, other in (("attention", None), ("crossattention", seen[None])):
                a = f"{b}{kind}."
                q, source = linear(x, s, f"{a}self.query"), x if other is None else other
                k, v = linear(source, s, f"{a}self.key"), linear(source, s, f"{a}self.value")
                hide = causal(len(row)) if mask and other is None else None
                y = linear(attend(q, k, v, heads, hide), s, f"{a}output.dense")
                x = normed(x + y, s, f"{a}output.LayerNorm", 1e-12)
            y = linear(act(linear(x, s, f"{b}intermediate.dense")), s, f"{b}output.dense")
            x = normed(x + y, s, f"{b}output.LayerNorm", 1e-12)
            i += 1
        out.append(x[0, 0])
    return torch.stack(out)


def head(s: State, x: Tensor, prefix: str = "") -> Tensor:
    for i in (0, 2, 4, 6, 7):
        x = linear(x, s, f"{prefix}layers.{i}")
    return x[:, 0]

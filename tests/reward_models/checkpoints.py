"""Random checkpoints at a small size, key for key in the layouts that are released, and tokenizers of 26 letters."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

State = dict[str, Tensor]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
CLIP_WORDS = [*LETTERS, *(f"{c}</w>" for c in LETTERS), "<|startoftext|>", "<|endoftext|>"]
BERT_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{c}" for c in LETTERS)]
SIDE, LENGTH, DIM = 32, 12, 24


@dataclass(frozen=True)
class Sizes:
    """Of a checkpoint: widths, depths and what else its shapes tell."""

    vision: int
    text: int = 128
    vision_depth: int = 2
    text_depth: int = 2
    side: int = SIDE
    patch: int = 8
    dim: int = DIM
    length: int = LENGTH
    words: int = len(CLIP_WORDS)
    mlp: int = 2
    head: tuple[int, ...] = (48, 24, 16, 8)

    @property
    def tokens(self) -> int:
        """Patches and the class token."""
        return 1 + (self.side // self.patch) ** 2


L14 = Sizes(1024, 768, 24, 12, 224, 14, 768, 77, 49408, 4, (1024, 128, 64, 16))
H14 = Sizes(1280, 1024, 32, 24, 224, 14, 1024, 77, 49408, 4)
IMAGEREWARD = Sizes(1024, 768, 24, 12, 224, 16, 768, 512, 30524, 4, (1024, 128, 64, 16))
SMALL_H, SMALL_L = Sizes(160), Sizes(128)
SMALL_IR = Sizes(128, 192, length=40, words=len(BERT_WORDS) + 2)  # and [DEC], [ENC]


class Random:
    """Tensors by shape; biases and norms are random too, so that none can be swapped or forgotten unnoticed."""

    def __init__(self, seed: int) -> None:
        self.generator, self.state = torch.Generator().manual_seed(seed), State()

    def put(self, name: str, *shape: int, scale: float = 0.08, shift: float = 0.0) -> None:
        self.state[name] = shift + scale * torch.randn(shape, generator=self.generator)

    def linear(self, name: str, out: int, into: int) -> None:
        self.put(f"{name}.weight", out, into)
        self.put(f"{name}.bias", out)

    def norm(self, name: str, width: int) -> None:
        self.put(f"{name}.weight", width, shift=1.0)
        self.put(f"{name}.bias", width)


def hf_clip(seed: int, size: Sizes) -> State:
    """transformers' CLIPModel: PickScore, LAION's H/14, OpenAI's L/14; with an old buffer that newer code drops."""
    r, width, text = Random(seed), size.vision, size.text
    v, t = "vision_model.", "text_model."
    r.put(f"{v}embeddings.class_embedding", width)
    r.put(f"{v}embeddings.patch_embedding.weight", width, 3, size.patch, size.patch)
    r.put(f"{v}embeddings.position_embedding.weight", size.tokens, width)
    r.put(f"{t}embeddings.token_embedding.weight", size.words, text)
    r.put(f"{t}embeddings.position_embedding.weight", size.length, text)
    for side, w, depth in ((v, width, size.vision_depth), (t, text, size.text_depth)):
        for i in range(depth):
            b = f"{side}encoder.layers.{i}."
            for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
                r.linear(f"{b}self_attn.{name}", w, w)
            r.norm(f"{b}layer_norm1", w)
            r.norm(f"{b}layer_norm2", w)
            r.linear(f"{b}mlp.fc1", size.mlp * w, w)
            r.linear(f"{b}mlp.fc2", w, size.mlp * w)
    r.norm(f"{v}pre_layrnorm", width)
    r.norm(f"{v}post_layernorm", width)
    r.norm(f"{t}final_layer_norm", text)
    r.put("visual_projection.weight", size.dim, width)
    r.put("text_projection.weight", size.dim, text)
    r.state["logit_scale"] = torch.tensor(4.6)
    r.state[f"{v}embeddings.position_ids"] = torch.arange(size.tokens)[None]
    return r.state


def open_clip(seed: int, size: Sizes) -> State:
    """open_clip's CLIP: HPSv2's checkpoints."""
    r, width, text = Random(seed), size.vision, size.text
    r.put("visual.class_embedding", width)
    r.put("visual.positional_embedding", size.tokens, width)
    r.put("visual.conv1.weight", width, 3, size.patch, size.patch)
    r.put("visual.proj", width, size.dim)
    r.put("positional_embedding", size.length, text)
    r.put("text_projection", text, size.dim)
    r.put("token_embedding.weight", size.words, text)
    towers = (("visual.transformer.", width, size.vision_depth), ("transformer.", text, size.text_depth))
    for prefix, w, depth in towers:
        for i in range(depth):
            b = f"{prefix}resblocks.{i}."
            r.put(f"{b}attn.in_proj_weight", 3 * w, w)
            r.put(f"{b}attn.in_proj_bias", 3 * w)
            r.linear(f"{b}attn.out_proj", w, w)
            r.norm(f"{b}ln_1", w)
            r.norm(f"{b}ln_2", w)
            r.linear(f"{b}mlp.c_fc", size.mlp * w, w)
            r.linear(f"{b}mlp.c_proj", w, size.mlp * w)
    for name, w in (("visual.ln_pre", width), ("visual.ln_post", width), ("ln_final", text)):
        r.norm(name, w)
    r.state["logit_scale"] = torch.tensor(4.6)
    return r.state


def imagereward(seed: int, size: Sizes) -> State:
    """ImageReward.pt, with the three groups of tensors that the reward does not use."""
    r, vision, text = Random(seed), size.vision, size.text
    v, t = "blip.visual_encoder.", "blip.text_encoder."
    # Small, so that the first LayerNorm sees a variance at which its epsilon shows.
    r.put(f"{v}cls_token", 1, 1, vision, scale=0.003)
    r.put(f"{v}pos_embed", 1, size.tokens, vision, scale=0.003)
    r.put(f"{v}patch_embed.proj.weight", vision, 3, size.patch, size.patch, scale=0.001)
    r.put(f"{v}patch_embed.proj.bias", vision, scale=0.003)
    for i in range(size.vision_depth):
        b = f"{v}blocks.{i}."
        r.norm(f"{b}norm1", vision)
        r.norm(f"{b}norm2", vision)
        r.linear(f"{b}attn.qkv", 3 * vision, vision)
        r.linear(f"{b}attn.proj", vision, vision)
        r.linear(f"{b}mlp.fc1", size.mlp * vision, vision)
        r.linear(f"{b}mlp.fc2", vision, size.mlp * vision)
    r.norm(f"{v}norm", vision)
    r.put(f"{t}embeddings.word_embeddings.weight", size.words, text)
    r.put(f"{t}embeddings.position_embeddings.weight", size.length, text)
    r.norm(f"{t}embeddings.LayerNorm", text)
    for i in range(size.text_depth):
        b = f"{t}encoder.layer.{i}."
        for kind, other in (("attention", text), ("crossattention", vision)):
            r.linear(f"{b}{kind}.self.query", text, text)
            r.linear(f"{b}{kind}.self.key", text, other)
            r.linear(f"{b}{kind}.self.value", text, other)
            r.linear(f"{b}{kind}.output.dense", text, text)
            r.norm(f"{b}{kind}.output.LayerNorm", text)
        r.linear(f"{b}intermediate.dense", size.mlp * text, text)
        r.linear(f"{b}output.dense", text, size.mlp * text)
        r.norm(f"{b}output.LayerNorm", text)
    r.state |= {f"mlp.{name}": value for name, value in head(seed + 1, text, size).items()}
    r.state[f"{t}embeddings.position_ids"] = torch.arange(size.length)[None]
    r.linear("blip.vision_proj", 16, vision)
    r.linear("blip.text_proj", 16, text)
    return r.state


def head(seed: int, into: int, size: Sizes) -> State:
    """The five linear layers of the aesthetic predictor."""
    r = Random(seed)
    widths = (into, *size.head, 1)
    for i, n, m in zip((0, 2, 4, 6, 7), widths, widths[1:], strict=False):
        r.put(f"layers.{i}.weight", m, n, scale=0.15)
        r.put(f"layers.{i}.bias", m)
    return r.state


def write(folder: Path, seed: int = 0) -> Path:
    """Every reward's files under ``folder``, laid out as $BENCH_WEIGHTS is read."""
    from transformers import BertTokenizer, CLIPTokenizer

    clip = CLIPTokenizer(vocab={w: i for i, w in enumerate(CLIP_WORDS)}, merges=[], model_max_length=LENGTH)
    bert = BertTokenizer(vocab={w: i for i, w in enumerate(BERT_WORDS)})
    laion, openai = folder / "CLIP-ViT-H-14-laion2B-s32B-b79K", folder / "clip-vit-large-patch14"
    for place in (laion, openai):
        clip.save_pretrained(place)
        (place / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(CLIP_WORDS)}))
        (place / "merges.txt").write_text("#version: 0.2\n")
    bert.save_pretrained(folder / "bert-base-uncased")
    (folder / "bert-base-uncased" / "vocab.txt").write_text("\n".join(BERT_WORDS) + "\n")
    save_file(hf_clip(seed, SMALL_H), laion / "model.safetensors")
    save_file(hf_clip(seed + 1, SMALL_L), openai / "model.safetensors")
    (folder / "PickScore_v1").mkdir()
    save_file(hf_clip(seed + 2, SMALL_H), folder / "PickScore_v1" / "model.safetensors")
    (folder / "HPSv2").mkdir()
    for i, version in enumerate(("v2", "v2.1")):
        half = {name: value.half() for name, value in open_clip(seed + 3 + i, SMALL_H).items()}
        torch.save({"state_dict": half}, folder / "HPSv2" / f"HPS_{version}_compressed.pt")
    torch.save(imagereward(seed + 5, SMALL_IR), folder / "ImageReward.pt")
    torch.save(head(seed + 6, DIM, SMALL_L), folder / "sac+logos+ava1-l14-linearMSE.pth")
    return folder

"""Random checkpoints at a small size, key for key in the layouts that are released, and tokenizers of 26 letters."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

State = dict[str, Tensor]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
CLIP_WORDS = [*LETTERS, *(f"{c}</w>" for c in LETTERS), "<|startoftext|>", "<|endoftext|>"]
BERT_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{c}" for c in LETTERS)]
SIDE, PATCH, DIM, TEXT, LENGTH, DEPTH = 32, 8, 24, 128, 12, 2
TOKENS = 1 + (SIDE // PATCH) ** 2


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


def hf_clip(seed: int, width: int) -> State:
    """transformers' CLIPModel: PickScore, LAION's H/14, OpenAI's L/14; with an old buffer that newer code drops."""
    r = Random(seed)
    v, t = "vision_model.", "text_model."
    r.put(f"{v}embeddings.class_embedding", width)
    r.put(f"{v}embeddings.patch_embedding.weight", width, 3, PATCH, PATCH)
    r.put(f"{v}embeddings.position_embedding.weight", TOKENS, width)
    r.put(f"{t}embeddings.token_embedding.weight", len(CLIP_WORDS), TEXT)
    r.put(f"{t}embeddings.position_embedding.weight", LENGTH, TEXT)
    for side, w in ((v, width), (t, TEXT)):
        for i in range(DEPTH):
            b = f"{side}encoder.layers.{i}."
            for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
                r.linear(f"{b}self_attn.{name}", w, w)
            r.norm(f"{b}layer_norm1", w)
            r.norm(f"{b}layer_norm2", w)
            r.linear(f"{b}mlp.fc1", 2 * w, w)
            r.linear(f"{b}mlp.fc2", w, 2 * w)
    r.norm(f"{v}pre_layrnorm", width)
    r.norm(f"{v}post_layernorm", width)
    r.norm(f"{t}final_layer_norm", TEXT)
    r.put("visual_projection.weight", DIM, width)
    r.put("text_projection.weight", DIM, TEXT)
    r.state["logit_scale"] = torch.tensor(4.6)
    r.state[f"{v}embeddings.position_ids"] = torch.arange(TOKENS)[None]
    return r.state


def open_clip(seed: int, width: int) -> State:
    """open_clip's CLIP: HPSv2's checkpoints."""
    r = Random(seed)
    r.put("visual.class_embedding", width)
    r.put("visual.positional_embedding", TOKENS, width)
    r.put("visual.conv1.weight", width, 3, PATCH, PATCH)
    r.put("visual.proj", width, DIM)
    r.put("positional_embedding", LENGTH, TEXT)
    r.put("text_projection", TEXT, DIM)
    r.put("token_embedding.weight", len(CLIP_WORDS), TEXT)
    for prefix, w in (("visual.transformer.", width), ("transformer.", TEXT)):
        for i in range(DEPTH):
            b = f"{prefix}resblocks.{i}."
            r.put(f"{b}attn.in_proj_weight", 3 * w, w)
            r.put(f"{b}attn.in_proj_bias", 3 * w)
            r.linear(f"{b}attn.out_proj", w, w)
            r.norm(f"{b}ln_1", w)
            r.norm(f"{b}ln_2", w)
            r.linear(f"{b}mlp.c_fc", 2 * w, w)
            r.linear(f"{b}mlp.c_proj", w, 2 * w)
    for name, w in (("visual.ln_pre", width), ("visual.ln_post", width), ("ln_final", TEXT)):
        r.norm(name, w)
    r.state["logit_scale"] = torch.tensor(4.6)
    return r.state


def imagereward(seed: int, vision: int = 128, text: int = 192) -> State:
    """ImageReward.pt, with the three groups of tensors that the reward does not use."""
    r = Random(seed)
    v, t = "blip.visual_encoder.", "blip.text_encoder."
    # Small, so that the first LayerNorm sees a variance at which its epsilon shows.
    r.put(f"{v}cls_token", 1, 1, vision, scale=0.003)
    r.put(f"{v}pos_embed", 1, TOKENS, vision, scale=0.003)
    r.put(f"{v}patch_embed.proj.weight", vision, 3, PATCH, PATCH, scale=0.001)
    r.put(f"{v}patch_embed.proj.bias", vision, scale=0.003)
    for i in range(DEPTH):
        b = f"{v}blocks.{i}."
        r.norm(f"{b}norm1", vision)
        r.norm(f"{b}norm2", vision)
        r.linear(f"{b}attn.qkv", 3 * vision, vision)
        r.linear(f"{b}attn.proj", vision, vision)
        r.linear(f"{b}mlp.fc1", 2 * vision, vision)
        r.linear(f"{b}mlp.fc2", vision, 2 * vision)
    r.norm(f"{v}norm", vision)
    r.put(f"{t}embeddings.word_embeddings.weight", len(BERT_WORDS) + 2, text)  # and [DEC], [ENC]
    r.put(f"{t}embeddings.position_embeddings.weight", 40, text)
    r.norm(f"{t}embeddings.LayerNorm", text)
    for i in range(DEPTH):
        b = f"{t}encoder.layer.{i}."
        for kind, other in (("attention", text), ("crossattention", vision)):
            r.linear(f"{b}{kind}.self.query", text, text)
            r.linear(f"{b}{kind}.self.key", text, other)
            r.linear(f"{b}{kind}.self.value", text, other)
            r.linear(f"{b}{kind}.output.dense", text, text)
            r.norm(f"{b}{kind}.output.LayerNorm", text)
        r.linear(f"{b}intermediate.dense", 2 * text, text)
        r.linear(f"{b}output.dense", text, 2 * text)
        r.norm(f"{b}output.LayerNorm", text)
    r.state |= {f"mlp.{name}": value for name, value in head(seed + 1, text).items()}
    r.state[f"{t}embeddings.position_ids"] = torch.arange(40)[None]
    r.linear("blip.vision_proj", 16, vision)
    r.linear("blip.text_proj", 16, text)
    return r.state


def head(seed: int, into: int) -> State:
    """The five linear layers of the aesthetic predictor."""
    r = Random(seed)
    for i, (n, m) in zip((0, 2, 4, 6, 7), ((into, 48), (48, 24), (24, 16), (16, 8), (8, 1)), strict=True):
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
    save_file(hf_clip(seed, 160), laion / "model.safetensors")
    save_file(hf_clip(seed + 1, 128), openai / "model.safetensors")
    (folder / "PickScore_v1").mkdir()
    save_file(hf_clip(seed + 2, 160), folder / "PickScore_v1" / "model.safetensors")
    (folder / "HPSv2").mkdir()
    for i, version in enumerate(("v2", "v2.1")):
        half = {name: value.half() for name, value in open_clip(seed + 3 + i, 160).items()}
        torch.save({"state_dict": half}, folder / "HPSv2" / f"HPS_{version}_compressed.pt")
    torch.save(imagereward(seed + 5), folder / "ImageReward.pt")
    torch.save(head(seed + 6, DIM), folder / "sac+logos+ava1-l14-linearMSE.pth")
    return folder

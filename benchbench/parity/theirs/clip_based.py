"""Scores by CLIP's towers: with hpsv2's own ``score``, OpenAI's clip, open_clip, and transformers for PickScore.

Each function takes the lists of files and returns the score of a picture's path and a prompt.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from .weights import clip_state, read, tensors

Score = Callable[[str, str], float]
Files = list[list[str]]


def hpsv2(files: Files) -> Score:
    """hpsv2's ``score``: the cosine. Its network is made without the weights of LAION that it would download first."""
    os.environ["HPS_ROOT"] = os.getcwd()  # where it makes a folder
    from hpsv2 import img_score
    from hpsv2.src.open_clip import create_model_and_transforms

    ((weights,), _) = files
    # It reads the file again for every picture.
    torch.load = functools.lru_cache(maxsize=1)(read)  # type: ignore[assignment]
    model, _, prepare = create_model_and_transforms("ViT-H-14", light_augmentation=True, output_dict=True)
    img_score.model_dict.update(model=model, preprocess_val=prepare)
    return lambda picture, prompt: float(img_score.score(picture, prompt, cp=weights)[0])


def clip_h14(files: Files) -> Score:
    """The cosine by open_clip's network and tokenizer, of pictures resized by hpsv2's transform."""
    import open_clip
    from hpsv2.src.open_clip.transform import image_transform

    ((weights,), _) = files
    model = open_clip.create_model("ViT-H-14").eval()
    model.load_state_dict(clip_state(weights))
    prepare, tokenize = (
        image_transform(224, is_train=False, resize_longest_max=True),
        open_clip.get_tokenizer("ViT-H-14"),
    )
    return _cosine(
        lambda picture: model.encode_image(prepare(picture)[None]), lambda p: model.encode_text(tokenize([p]))
    )


def clip_l14(files: Files) -> Score:
    """The cosine by OpenAI's network, tokenizer and preprocessing."""
    import clip

    ((weights,), _) = files
    model, prepare = _openai(weights)
    return _cosine(
        lambda picture: model.encode_image(prepare(picture)[None]),
        lambda prompt: model.encode_text(clip.tokenize([prompt], truncate=True)),
    )


def aesthetic(files: Files) -> Score:
    """The head as image-reward's class has it, on unit embeddings of OpenAI's network, without autocast."""
    from ImageReward.models.AestheticScore import MLP

    (weights,), (head,) = files
    model, prepare = _openai(weights)
    state = tensors(head)
    mlp = MLP(state["layers.0.weight"].shape[1]).eval()
    mlp.load_state_dict(state)

    def score(picture: str, _prompt: str) -> float:
        image = model.encode_image(prepare(Image.open(picture))[None])
        return float(mlp(normalize(image, dim=-1)).item())

    return score


def pickscore(files: Files) -> Score:
    """exp(logit_scale) times the cosine by transformers' CLIPModel with a slow image processor and a fast tokenizer.

    These are what ``AutoModel`` and ``AutoProcessor`` make of the hub's folders, of whose files we have the weights and
    the tokenizer only; the sizes of ViT-H/14 and CLIP's preprocessing are written out here.
    """
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizerFast

    (weights,), tokenizer_files = files
    vision = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 16}
    text = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
    both = {"hidden_act": "gelu", "projection_dim": 1024}
    vision_config = {**vision, **both, "patch_size": 14, "image_size": 224}
    model = CLIPModel(CLIPConfig(text_config={**text, **both}, vision_config=vision_config, projection_dim=1024)).eval()
    state = {name: value.float() for name, value in tensors(weights).items() if not name.endswith("position_ids")}
    model.load_state_dict(state)
    prepare, tokenizer = CLIPImageProcessor(), CLIPTokenizerFast.from_pretrained(os.path.dirname(tokenizer_files[0]))

    def text_embedding(prompt: str) -> Tensor:
        ids = tokenizer(prompt, padding=True, truncation=True, max_length=77, return_tensors="pt")
        embedding: Tensor = model.get_text_features(**ids)
        return embedding

    cosine = _cosine(lambda picture: model.get_image_features(**prepare(picture, return_tensors="pt")), text_embedding)
    return lambda picture, prompt: float(model.logit_scale.exp()) * cosine(picture, prompt)


SCORERS: dict[str, Callable[[Files], Score]] = {
    "hpsv2.0": hpsv2,
    "hpsv2.1": hpsv2,
    "pickscore": pickscore,
    "clip_h14": clip_h14,
    "clip_l14": clip_l14,
    "aesthetic": aesthetic,
}


def _cosine(image: Callable[[Any], Tensor], text: Callable[[str], Tensor]) -> Score:
    """Returns the cosine of two embeddings [1, D] as a function of a picture's path and a prompt."""

    def score(picture: str, prompt: str) -> float:
        return float((normalize(image(Image.open(picture)), dim=-1) * normalize(text(prompt), dim=-1)).sum())

    return score


def _openai(path: str) -> tuple[Any, Any]:
    """Returns OpenAI's network in float32, with its sizes read from the tensors, and its preprocessing."""
    from clip.clip import _transform
    from clip.model import CLIP

    state = clip_state(path)
    patches, words = state["visual.conv1.weight"], state["token_embedding.weight"]
    side = round((len(state["visual.positional_embedding"]) - 1) ** 0.5) * patches.shape[-1]
    depths = [
        sum(name.startswith(prefix) and name.endswith("ln_1.weight") for name in state)
        for prefix in ("visual.transformer.", "transformer.")
    ]
    model = CLIP(
        embed_dim=state["text_projection"].shape[1],
        image_resolution=side,
        vision_layers=depths[0],
        vision_width=patches.shape[0],
        vision_patch_size=patches.shape[-1],
        context_length=len(state["positional_embedding"]),
        vocab_size=len(words),
        transformer_width=words.shape[1],
        transformer_heads=words.shape[1] // 64,
        transformer_layers=depths[1],
    ).eval()
    model.load_state_dict(state)
    return model, _transform(side)

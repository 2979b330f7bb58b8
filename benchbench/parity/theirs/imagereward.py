"""ImageReward by image-reward's own ``load`` and ``score``, which the paper's authors published."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from .weights import read

BERT = "bert-base-uncased"
"""The package asks the hub for this name; a folder of this name in the working directory is taken instead."""
CONFIG = {
    "vocab_size": 30524,
    "type_vocab_size": 2,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "initializer_range": 0.02,
    "pad_token_id": 0,
    "encoder_width": 768,
    "add_cross_attention": True,
}
"""The text tower's sizes: BERT-base with two more words and cross-attention. The package sets encoder_width itself."""


def scorer(files: list[list[str]]) -> Callable[[str, str], float]:
    """Returns the score of a picture's path and a prompt. ``files``: the weights; the tokenizer's, vocab.txt first."""
    (weights,), (vocabulary, *_) = files
    Path(BERT).mkdir()
    shutil.copyfile(vocabulary, Path(BERT) / "vocab.txt")
    Path("med_config.json").write_text(json.dumps(CONFIG))
    import ImageReward

    torch.load = read  # type: ignore[assignment]
    model = ImageReward.load(weights, device="cpu", med_config="med_config.json")
    return lambda picture, prompt: float(model.score(prompt, picture))

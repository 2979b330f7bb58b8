"""Opt-in, where open_clip is installed: the package's own CLIP on the same tensors, HPSv2's ancestor."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from benchbench.rewards import lookup
from tests.reward_models import checkpoints
from tests.reward_models.test_parity import PROMPTS, TOLERANCE, clip_ids, pictures, pixels


def test_hpsv2_is_open_clips_own_model(weights: Path) -> None:
    """Strictly loaded, with its own attention, GELU, masks and pooling."""
    model_of = pytest.importorskip("open_clip.model")
    size = checkpoints.SMALL_H
    vision = model_of.CLIPVisionCfg(
        layers=size.vision_depth,
        width=size.vision,
        head_width=80,
        patch_size=size.patch,
        image_size=size.side,
        mlp_ratio=size.mlp,
    )
    text = model_of.CLIPTextCfg(
        context_length=size.length,
        vocab_size=size.words,
        width=size.text,
        heads=2,
        layers=size.text_depth,
        mlp_ratio=size.mlp,
    )
    model = model_of.CLIP(embed_dim=size.dim, vision_cfg=vision, text_cfg=text).eval()
    state = torch.load(weights / "HPSv2" / "HPS_v2.1_compressed.pt", weights_only=True)["state_dict"]
    model.load_state_dict({name: value.float() for name, value in state.items()}, strict=False)
    assert not set(state) ^ {name for name in model.state_dict() if name != "attn_mask"}
    ids = torch.tensor([row + [0] * (size.length - len(row)) for row in clip_ids(PROMPTS)])
    with torch.no_grad():
        a, b = normalize(model.encode_image(pixels()), dim=-1), normalize(model.encode_text(ids), dim=-1)
    scores = lookup.get("hpsv2.1")().score(pictures(), PROMPTS)
    assert (scores / 100 - (a * b).sum(-1)).abs().max() < TOLERANCE

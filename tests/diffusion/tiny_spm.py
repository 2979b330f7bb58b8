"""A small random step-aware preference model in the released format."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch


def write_tiny_spm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes its files and lets the reward ``spm`` find them: 32x32 px, tokenizer of 26 letters, width 32."""
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

    from benchbench.reward_models import spm
    from benchbench.reward_models._adaln import StepAwareCLIP
    from tests.reward_models.checkpoints import CLIP_WORDS, LENGTH

    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    words = {"vocab_size": len(CLIP_WORDS), "max_position_embeddings": LENGTH}
    ends = {"bos_token_id": len(CLIP_WORDS) - 2, "eos_token_id": len(CLIP_WORDS) - 1}
    config = CLIPConfig(
        text_config={**small, **words, **ends}, vision_config={**small, "image_size": 32, "patch_size": 8}
    )
    tokenizer = CLIPTokenizer(vocab={w: i for i, w in enumerate(CLIP_WORDS)}, merges=[], model_max_length=LENGTH)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    torch.save(StepAwareCLIP(CLIPModel(config)).state_dict(), folder / "spm.bin")
    monkeypatch.setattr(spm, "files", lambda _: (folder / "spm.bin", folder))
    monkeypatch.setattr(spm, "config", lambda: config)
    monkeypatch.setattr(spm.SPM, "missing", classmethod(lambda cls: None))

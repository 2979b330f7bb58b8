"""Stable Diffusion 1.5 and XL at their true sizes with random weights, so that a GPU is measured without a download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SD15_UNET: dict[str, Any] = {"sample_size": 64, "cross_attention_dim": 768}
SDXL_UNET: dict[str, Any] = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
}
CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
CLIP_G = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}


def write(folder: Path, model: str, device: str = "cuda") -> Path:
    """The pipeline of ``sd15`` or ``sdxl`` in bf16, by seed 0; nothing where it lies there already."""
    if (folder / "model_index.json").is_file():
        return folder
    import torch
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionPipeline,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )

    torch.manual_seed(0)
    xl = model == "sdxl"
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    with torch.device(device):
        unet = UNet2DConditionModel(**(SDXL_UNET if xl else SD15_UNET))
        vae = AutoencoderKL(**VAE, sample_size=1024 if xl else 512, scaling_factor=0.13025 if xl else 0.18215)
        text = _text(CLIP_L)
        parts: dict[str, Any] = {"unet": unet, "vae": vae, "text_encoder": text, "tokenizer": _words()}
        if xl:
            parts |= {"text_encoder_2": _text(CLIP_G, projection=1280), "tokenizer_2": _words()}
    if xl:
        pipe = StableDiffusionXLPipeline(**parts, scheduler=scheduler)
    else:
        none = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        pipe = StableDiffusionPipeline(**parts, scheduler=scheduler, **none)
    pipe.to(torch.bfloat16).save_pretrained(folder)
    return folder


def _words() -> Any:
    """A tokenizer of letters: what a prompt costs does not depend on what its tokens are."""
    from transformers import CLIPTokenizer

    letters = [chr(i) for i in range(33, 127)]
    words = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=77)


def _text(size: dict[str, int], projection: int = 0) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    kind = CLIPTextModelWithProjection if projection else CLIPTextModel
    ends = {"bos_token_id": 188, "eos_token_id": 189, "pad_token_id": 189}
    return kind(CLIPTextConfig(**size, **ends, vocab_size=49408, projection_dim=projection or 768))

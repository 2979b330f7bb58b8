"""Writes a tiny random SD 3 checkpoint in the real folder format: two CLIP encoders, T5, and a transformer."""

from __future__ import annotations

from pathlib import Path

import torch

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = [*LETTERS, *(f"{c}</w>" for c in LETTERS), "<|startoftext|>", "<|endoftext|>"]


def write_tiny_sd3(folder: Path, seed: int = 0, shift: float = 3.0, t5: bool = True) -> Path:
    """A StableDiffusion3Pipeline: 16x16 px, 8x8x4 latents, CLIP texts of 16 + 8 numbers a token, T5 of 32."""
    from diffusers import (
        AutoencoderKL,
        FlowMatchEulerDiscreteScheduler,
        SD3Transformer2DModel,
        StableDiffusion3Pipeline,
    )
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer, T5Config, T5EncoderModel

    def clip(width: int) -> CLIPTextModelWithProjection:
        return CLIPTextModelWithProjection(
            CLIPTextConfig(
                vocab_size=len(WORDS),
                hidden_size=width,
                intermediate_size=2 * width,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=12,
                projection_dim=width,
                bos_token_id=len(WORDS) - 2,
                eos_token_id=len(WORDS) - 1,
                pad_token_id=len(WORDS) - 1,
            )
        )

    torch.manual_seed(seed)
    tokenizer = CLIPTokenizer(vocab={word: i for i, word in enumerate(WORDS)}, merges=[], model_max_length=12)
    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=32,
        caption_projection_dim=16,
        pooled_projection_dim=24,
        pos_embed_max_size=4,
        dual_attention_layers=(0,),
        qk_norm="rms_norm",
    )
    for parameter in transformer.parameters():  # the library's start leaves the output near zero
        torch.nn.init.normal_(parameter, std=0.2)
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        norm_num_groups=4,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        sample_size=16,
        scaling_factor=1.5305,
        shift_factor=0.0609,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    t5_config = T5Config(vocab_size=30, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=shift),
        vae=vae,
        text_encoder=clip(16),
        tokenizer=tokenizer,
        text_encoder_2=clip(8),
        tokenizer_2=tokenizer,
        text_encoder_3=T5EncoderModel(t5_config) if t5 else None,
        tokenizer_3=_t5_tokenizer() if t5 else None,
    ).save_pretrained(folder)
    return folder


def _t5_tokenizer() -> object:
    """Returns a tokenizer of single letters in the class of T5's."""
    from transformers import T5TokenizerFast

    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((letter, -3.0) for letter in LETTERS)]
    return T5TokenizerFast(vocab=vocabulary, extra_ids=0)

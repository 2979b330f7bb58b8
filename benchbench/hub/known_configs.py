"""The architectures of Stable Diffusion 1.x, 2.x and XL, from their published config.json files.

Memory estimates use them where a model is not on this machine; otherwise its own config.json is read. Values equal to
the library's defaults are left out, as in those files.
"""

from __future__ import annotations

from typing import Any

SD15_UNET: dict[str, Any] = {"sample_size": 64, "cross_attention_dim": 768}
SD21_UNET: dict[str, Any] = {
    "sample_size": 64,
    "cross_attention_dim": 1024,
    "attention_head_dim": [5, 10, 20, 20],
    "use_linear_projection": True,
}
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
SD_VAE: dict[str, Any] = {**VAE, "sample_size": 512, "scaling_factor": 0.18215}
SDXL_VAE: dict[str, Any] = {**VAE, "sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True}
CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
CLIP_H = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "num_attention_heads": 16}
CLIP_G = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}
SCHEDULER: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}

_SD15 = {"unet": SD15_UNET, "vae": SD_VAE, "text_encoder": CLIP_L, "scheduler": SCHEDULER}
KNOWN: dict[str, dict[str, dict[str, Any]]] = {
    "sd14": _SD15,
    "sd15": _SD15,
    "sd21": {"unet": SD21_UNET, "vae": SD_VAE, "text_encoder": CLIP_H, "scheduler": SCHEDULER},
    "sdxl": {
        "unet": SDXL_UNET,
        "vae": SDXL_VAE,
        "text_encoder": CLIP_L,
        "text_encoder_2": {**CLIP_G, "projection_dim": 1280},
        "scheduler": SCHEDULER,
    },
}
"""The settings of each part, by the short name of the model."""

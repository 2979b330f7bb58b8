"""The architectures of Stable Diffusion 1.x, 2.x, XL and 3.5 medium, from their published config.json files.

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
SD35M_TRANSFORMER: dict[str, Any] = {
    "sample_size": 128,
    "num_layers": 24,
    "num_attention_heads": 24,
    "attention_head_dim": 64,
    "joint_attention_dim": 4096,
    "caption_projection_dim": 1536,
    "pooled_projection_dim": 2048,
    "pos_embed_max_size": 384,
    "dual_attention_layers": tuple(range(13)),
    "qk_norm": "rms_norm",
}
VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
}
SD_VAE: dict[str, Any] = {**VAE, "sample_size": 512, "scaling_factor": 0.18215}
SDXL_VAE: dict[str, Any] = {**VAE, "sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True}
SD3_VAE: dict[str, Any] = {
    **VAE,
    "sample_size": 1024,
    "latent_channels": 16,
    "scaling_factor": 1.5305,
    "shift_factor": 0.0609,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}
CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
CLIP_H = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "num_attention_heads": 16}
CLIP_G = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}
T5_XXL = {
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
    "vocab_size": 32128,
}
SCHEDULER: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
FLOW_SCHEDULER = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0}

_SD15 = {"unet": SD15_UNET, "vae": SD_VAE, "text_encoder": CLIP_L, "scheduler": SCHEDULER}
KNOWN: dict[str, dict[str, dict[str, Any]]] = {
    "sd14": _SD15,
    "sd15": _SD15,
    "sd21": {"unet": SD21_UNET, "vae": SD_VAE, "text_encoder": CLIP_H, "scheduler": SCHEDULER},
    "sd21v": {
        "unet": {**SD21_UNET, "sample_size": 96},
        "vae": {**SD_VAE, "sample_size": 768},
        "text_encoder": CLIP_H,
        "scheduler": {**SCHEDULER, "prediction_type": "v_prediction"},
    },
    "sdxl": {
        "unet": SDXL_UNET,
        "vae": SDXL_VAE,
        "text_encoder": CLIP_L,
        "text_encoder_2": {**CLIP_G, "projection_dim": 1280},
        "scheduler": SCHEDULER,
    },
    "sd35m": {
        "transformer": SD35M_TRANSFORMER,
        "vae": SD3_VAE,
        "text_encoder": {**CLIP_L, "projection_dim": 768},
        "text_encoder_2": {**CLIP_G, "projection_dim": 1280},
        "text_encoder_3": T5_XXL,
        "scheduler": FLOW_SCHEDULER,
    },
}
"""The settings of each part, by the short name of the model."""

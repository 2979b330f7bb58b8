"""The parts of shapes-flow, the flow-matching model: its transformer, its scheduler, its text, and its folder.

The model is a small SD3.5-M: joint attention over image and text tokens, a second attention in the first block, and
normalised queries and keys. It has no T5, and the text encoder of shapes stands for both CLIPs.
"""

from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
from torch import Tensor
from transformers import CLIPTextModelWithProjection

from benchbench.hub import borrowed
from benchbench.runtime.json_files import write_json

WIDTH = 128
TEXT_WIDTH = 2 * 96
"""The width of the text's tokens: those of both encoders side by side, which are the same encoder here."""
SHIFT = 1.0
"""The shift of the sampler's noise levels. SD3's 3.0 is for 1024 pixels; 8x8 latents need none."""
BORROWED: dict[str, Any] = {
    "max_sequence_length": 0,
    "parts": {
        "vae": {"model": "shapes", "folder": "vae", "config": {"shift_factor": 0.0}},
        "text_encoder": {"model": "shapes", "folder": "text_encoder", "config": {"projection_dim": 96}},
        "text_encoder_2": {"model": "shapes", "folder": "text_encoder", "config": {"projection_dim": 96}},
        "tokenizer": {"model": "shapes", "folder": "tokenizer"},
        "tokenizer_2": {"model": "shapes", "folder": "tokenizer"},
        "text_encoder_3": None,
        "tokenizer_3": None,
    },
}
"""The content of `borrowed.json`. The VAE of shapes has no shift factor, and SD3's pipeline cannot decode without."""


def make() -> SD3Transformer2DModel:
    """Returns an untrained transformer of 2.4 million parameters, as many as the UNet of shapes has."""
    return SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=4,
        num_attention_heads=4,
        attention_head_dim=WIDTH // 4,
        joint_attention_dim=TEXT_WIDTH,
        caption_projection_dim=WIDTH,
        pooled_projection_dim=TEXT_WIDTH,
        pos_embed_max_size=4,
        dual_attention_layers=(0,),
        qk_norm="rms_norm",
    )


@torch.no_grad()
def encode_text(encoder: CLIPTextModelWithProjection, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Returns tokens [N, 20, 192] and summaries [N, 192] of token ids [N, 20], as SD3's pipeline makes them."""
    output = encoder(ids, output_hidden_states=True)
    return output.hidden_states[-2].repeat(1, 1, 2), output.text_embeds.repeat(1, 2)


def borrow(folder: Path) -> dict[str, Any]:
    """Writes what the model borrows into its new folder, and returns these parts, in single precision."""
    folder.mkdir(parents=True)
    write_json(folder / borrowed.FILE, BORROWED, indent=2)
    return borrowed.load(folder)


def write(folder: Path, transformer: SD3Transformer2DModel, parts: dict[str, Any]) -> None:
    """Writes the rest of the folder that `borrow` began: the transformer in half precision, scheduler and index."""
    scheduler = FlowMatchEulerDiscreteScheduler(shift=SHIFT)
    pipe = StableDiffusion3Pipeline(transformer=transformer, scheduler=scheduler, **parts)
    pipe.save_config(folder)
    scheduler.save_pretrained(folder / "scheduler")
    transformer.to(torch.float16).save_pretrained(folder / "transformer")


def load(folder: Path) -> StableDiffusion3Pipeline:
    """Returns the pipeline in a folder that `write` ended, in single precision and without a progress bar."""
    pipe = StableDiffusion3Pipeline.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, **borrowed.load(folder)
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe

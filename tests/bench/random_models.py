"""Makes Stable Diffusion 1.5 and XL at their real sizes with random weights, so that a GPU needs no download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchbench.hub.known_configs import CLIP_G, CLIP_L, SCHEDULER, SD15_UNET, SD_VAE, SDXL_UNET, SDXL_VAE


def write(folder: Path, model: str, device: str = "cuda") -> Path:
    """Writes the pipeline of ``sd15`` or ``sdxl`` in bf16, from seed 0, unless it exists; returns its folder."""
    if (folder / "model_index.json").is_file():
        return folder
    import torch
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

    torch.manual_seed(0)
    with torch.device(device):
        parts = networks(model)
    parts |= {name: _letter_tokenizer() for name in _tokenizers(model)} | {"scheduler": _scheduler()}
    if model == "sdxl":
        pipe = StableDiffusionXLPipeline(**parts)
    else:
        no_checker = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        pipe = StableDiffusionPipeline(**parts, **no_checker)
    pipe.to(torch.bfloat16).save_pretrained(folder)
    return folder


def write_settings(folder: Path, model: str) -> Path:
    """Writes a pipeline's folder without weights: every part's settings, the tokenizers and, last, the index.

    It takes a few hundred kilobytes. The networks are made on the meta device, where they take no memory.
    """
    import json

    import torch

    with torch.device("meta"):
        parts = networks(model)
    for name, network in parts.items():
        part_folder = folder / name
        part_folder.mkdir(parents=True, exist_ok=True)
        write = getattr(network, "save_config", None) or network.config.save_pretrained
        write(part_folder)
    _scheduler().save_pretrained(folder / "scheduler")
    for name in _tokenizers(model):
        _letter_tokenizer().save_pretrained(folder / name)
    pipeline_name = "StableDiffusionXLPipeline" if model == "sdxl" else "StableDiffusionPipeline"
    (folder / "model_index.json").write_text(json.dumps({"_class_name": pipeline_name}))
    return folder


def networks(model: str) -> dict[str, Any]:
    """Returns the networks of ``sd15`` or ``sdxl`` by the pipeline's names, in float32, on torch's default device."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    xl = model == "sdxl"
    unet = UNet2DConditionModel(**(SDXL_UNET if xl else SD15_UNET))
    _unit_noise(unet)
    vae = AutoencoderKL(**(SDXL_VAE if xl else SD_VAE))
    parts: dict[str, Any] = {"unet": unet, "vae": vae, "text_encoder": _text(CLIP_L)}
    return parts | ({"text_encoder_2": _text(CLIP_G, projection=1280)} if xl else {})


def _unit_noise(unet: Any) -> None:
    """Draws the last layer so that the predicted noise has about unit variance, like a trained network's.

    The layer before it is a group norm with SiLU, whose outputs have a mean square of 0.356 for normal inputs.
    """
    import torch

    with torch.no_grad():
        unet.conv_out.weight.normal_(std=(0.356 * unet.conv_out.weight[0].numel()) ** -0.5)
        unet.conv_out.bias.zero_()


def _tokenizers(model: str) -> tuple[str, ...]:
    return ("tokenizer", "tokenizer_2") if model == "sdxl" else ("tokenizer",)


def _scheduler() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(**SCHEDULER)


def _letter_tokenizer() -> Any:
    """Returns a tokenizer of letters, which is enough, since a prompt's cost does not depend on its tokens."""
    from transformers import CLIPTokenizer

    letters = [chr(i) for i in range(33, 127)]
    words = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=77)


def _text(size: dict[str, int], projection: int = 0) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    model_class = CLIPTextModelWithProjection if projection else CLIPTextModel
    special_tokens = {"bos_token_id": 188, "eos_token_id": 189, "pad_token_id": 189}
    return model_class(CLIPTextConfig(**size, **special_tokens, vocab_size=49408, projection_dim=projection or 768))

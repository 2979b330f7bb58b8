"""Stage: half-precision copies of everything that is shipped, with the pipeline put together in diffusers' layout."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPModel, CLIPTextModel

from benchbench.runtime.json_files import read_object

from . import tokenizer
from .stage import Facts, Stage
from .unet import make_scheduler


def pipeline(work: Path) -> StableDiffusionPipeline:
    """The text-to-image pipeline of the stages' results."""
    return StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(work / "vae"),
        text_encoder=CLIPTextModel.from_pretrained(work / "text" / "text_encoder"),
        tokenizer=tokenizer.make(),
        unet=UNet2DConditionModel.from_pretrained(work / "unet" / "unet"),
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def forget_origins(folder: Path) -> None:
    """Takes out of the configs the path that each part was loaded from: two builds then give the same files."""
    for file in folder.rglob("config.json"):
        config = read_object(file, "run the same command again")
        config.pop("_name_or_path", None)
        file.write_text(json.dumps(config, indent=2) + "\n")


def run(stage: Stage) -> Facts:
    """Writes model/, clip/, pref/ and aesthetic.safetensors."""
    pipe = pipeline(stage.work)
    parts = {"unet": pipe.unet, "vae": pipe.vae, "text_encoder": pipe.text_encoder}
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    pipe.to(torch.float16).save_pretrained(stage.folder / "model")
    for name in ("clip", "pref"):
        model = CLIPModel.from_pretrained(stage.of(name) / name)
        counts[name] = sum(p.numel() for p in model.parameters())
        model.to(torch.float16).save_pretrained(stage.folder / name)
        tokenizer.save(stage.folder / name)
    weights = load_file(stage.of("aesthetic") / "aesthetic.safetensors")
    counts["aesthetic"] = sum(value.numel() for value in weights.values())
    save_file({name: value.half() for name, value in weights.items()}, stage.folder / "aesthetic.safetensors")
    forget_origins(stage.folder)
    return {"parameters": counts}
